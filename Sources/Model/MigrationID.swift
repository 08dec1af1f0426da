/// Names one migration on both hosts: the 16 bytes of the preamble, as 32 lower-case hexadecimal digits.
///
/// One id is one attempt. A container that was rolled back is moved again under a new id, so a late message of an
/// earlier attempt can never be mistaken for one of this attempt.
public struct MigrationID: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
    public var rawValue: String

    /// Nil unless `rawValue` is 32 lower-case hexadecimal digits: it becomes part of file names.
    public init?(rawValue: String) {
        guard rawValue.utf8.count == 32, rawValue.utf8.allSatisfy({ Self.digit($0) != nil }) else { return nil }
        self.rawValue = rawValue
    }

    /// Takes 16 bytes as they stand in a preamble; nil for any other length.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        let digits = Array("0123456789abcdef".utf8)
        rawValue = String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// The 16 bytes as they stand in a preamble.
    public var bytes: [UInt8] {
        let digits = rawValue.utf8.compactMap(Self.digit)
        return stride(from: 0, to: 32, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    public var description: String { rawValue }

    private static func digit(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
