/// The name of one migration on the wire and in both journals: 16 bytes, made at random by the source.
public struct MigrationID: Hashable, Sendable, CustomStringConvertible {
    private var high: UInt64
    private var low: UInt64

    private init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A new identifier from the system's random number generator.
    public static func random() -> MigrationID {
        MigrationID(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
    }

    /// Takes 16 bytes as they stand in a preamble; nil for any other length.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        self.init(high: 0, low: 0)
        for (index, byte) in bytes.enumerated() {
            if index < 8 { high = high << 8 | UInt64(byte) } else { low = low << 8 | UInt64(byte) }
        }
    }

    /// Reads 32 hexadecimal digits, the form of `description`; nil for anything else.
    public init?(_ text: String) {
        guard text.utf8.count == 32,
            let high = UInt64(text.prefix(16), radix: 16), let low = UInt64(text.suffix(16), radix: 16),
            !text.contains("+"), !text.contains("-")
        else { return nil }
        self.init(high: high, low: low)
    }

    /// The 16 bytes as they stand in a preamble.
    public var bytes: [UInt8] {
        [high, low].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) } }
    }

    /// 32 lower-case hexadecimal digits.
    public var description: String {
        [high, low].map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
