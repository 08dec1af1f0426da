/// Why a text is no JSON (RFC 8259), and at which byte.
public struct JSONSyntaxError: Error, Hashable, CustomStringConvertible {
    public var what: String
    /// Bytes from the beginning.
    public var offset: Int
    public var description: String { "\(what) at byte \(offset)" }
}

extension JSONValue {
    /// Nesting beyond this is refused, so that a hostile file can't exhaust the stack. OCI's deepest field is at 7.
    static let maximumDepth = 64

    /// Parses a document; nothing but blanks may follow.
    public init(parsing bytes: [UInt8]) throws(JSONSyntaxError) {
        var parser = JSONParser(bytes: bytes)
        self = try parser.document()
    }

    public init(parsing text: String) throws(JSONSyntaxError) { try self.init(parsing: Array(text.utf8)) }
}

private struct JSONParser {
    let bytes: [UInt8]
    var at = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    func failure(_ what: String) -> JSONSyntaxError { JSONSyntaxError(what: what, offset: at) }
    var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    mutating func skipBlanks() {
        while let c = next, c == 0x20 || c == 0x0a || c == 0x0d || c == 0x09 { at += 1 }
    }

    mutating func take(_ c: Character) -> Bool {
        guard next == c.asciiValue else { return false }
        at += 1
        return true
    }

    mutating func document() throws(JSONSyntaxError) -> JSONValue {
        let value = try value(depth: 0)
        skipBlanks()
        if next != nil { throw failure("something follows the value") }
        return value
    }

    mutating func value(depth: Int) throws(JSONSyntaxError) -> JSONValue {
        if depth > JSONValue.maximumDepth { throw failure("nested deeper than \(JSONValue.maximumDepth)") }
        skipBlanks()
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case nil: throw failure("the text ends where a value is due")
        default: return try number()
        }
    }

    mutating func word(_ text: String, _ value: JSONValue) throws(JSONSyntaxError) -> JSONValue {
        guard bytes[at...].starts(with: text.utf8) else { throw failure("unknown word") }
        at += text.utf8.count
        return value
    }

    mutating func object(depth: Int) throws(JSONSyntaxError) -> JSONValue {
        at += 1
        var members: [JSONValue.Member] = []
        skipBlanks()
        if take("}") { return .object([]) }
        while true {
            skipBlanks()
            guard next == UInt8(ascii: "\"") else { throw failure("a name in quotes is due") }
            let name = try string()
            skipBlanks()
            guard take(":") else { throw failure("a colon is due") }
            members.append(.init(name, try value(depth: depth + 1)))
            skipBlanks()
            if take("}") { return .object(members) }
            guard take(",") else { throw failure("a comma or } is due") }
        }
    }

    mutating func array(depth: Int) throws(JSONSyntaxError) -> JSONValue {
        at += 1
        var values: [JSONValue] = []
        skipBlanks()
        if take("]") { return .array([]) }
        while true {
            values.append(try value(depth: depth + 1))
            skipBlanks()
            if take("]") { return .array(values) }
            guard take(",") else { throw failure("a comma or ] is due") }
        }
    }

    mutating func digits() -> Int {
        let start = at
        while let c = next, (0x30...0x39).contains(c) { at += 1 }
        return at - start
    }

    mutating func number() throws(JSONSyntaxError) -> JSONValue {
        let start = at
        _ = take("-")
        let first = next
        let count = digits()
        if count == 0 || (count > 1 && first == UInt8(ascii: "0")) { throw failure("no value") }
        if take(".") && digits() == 0 { throw failure("digits are due") }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            if digits() == 0 { throw failure("digits are due") }
        }
        return .number(String(decoding: bytes[start..<at], as: UTF8.self))
    }

    mutating func string() throws(JSONSyntaxError) -> String {
        at += 1
        var text: [UInt8] = []
        while let c = next {
            at += 1
            switch c {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try escape(into: &text)
            case ..<0x20: throw failure("a control character in a string")
            default: text.append(c)
            }
        }
        throw failure("the text ends within a string")
    }

    mutating func escape(into text: inout [UInt8]) throws(JSONSyntaxError) {
        guard let c = next else { throw failure("the text ends within a string") }
        at += 1
        switch UnicodeScalar(c) {
        case "\"", "\\", "/": text.append(c)
        case "b": text.append(0x08)
        case "f": text.append(0x0c)
        case "n": text.append(0x0a)
        case "r": text.append(0x0d)
        case "t": text.append(0x09)
        case "u": text.append(contentsOf: String(try unicodeEscape()).utf8)
        default: throw failure("unknown escape")
        }
    }

    mutating func fourHexDigits() throws(JSONSyntaxError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let c = next, let digit = Character(UnicodeScalar(c)).hexDigitValue else {
                throw failure("four hexadecimal digits are due")
            }
            value = value << 4 | UInt32(digit)
            at += 1
        }
        return value
    }

    /// Half a surrogate pair becomes U+FFFD, as with Go's decoder.
    mutating func unicodeEscape() throws(JSONSyntaxError) -> Character {
        let first = try fourHexDigits()
        if (0xd800..<0xdc00).contains(first), bytes[at...].starts(with: "\\u".utf8) {
            let before = at
            at += 2
            let second = try fourHexDigits()
            if (0xdc00..<0xe000).contains(second), let scalar = UnicodeScalar(0x10000 + (first - 0xd800) << 10 + second - 0xdc00)
            {
                return Character(scalar)
            }
            at = before
        }
        return Character(UnicodeScalar(first) ?? "\u{fffd}")
    }
}
