import FoundationEssentials
import Plan

/// JSON as it stands on the wire, in journals and on standard output: one line, keys in order.
enum JSON {
    static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Only non-finite numbers can't be encoded, and no type of ours holds one.
        return (try? encoder.encode(value)).map(Array.init) ?? Array("{}".utf8)
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws(JSONProblem) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw JSONProblem(text: "\(type): \(error)")
        }
    }

    static func text(_ value: some Encodable) -> String { String(decoding: encode(value), as: UTF8.self) }
}

/// What came is not what was due.
struct JSONProblem: Error, CustomStringConvertible {
    var text: String
    var description: String { text }
}
