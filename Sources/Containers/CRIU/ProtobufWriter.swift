/// Writes protobuf's wire format: the few kinds of fields that CRIU's messages and images use.
///
/// Why no library: a dozen messages, whose field numbers are facts of CRIU's that no generator makes truer; see
/// docs/decisions.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// Field of type uint32, uint64 or enum.
    mutating func field(_ number: Int, _ value: UInt64) {
        varint(UInt64(number) << 3)
        varint(value)
    }
    /// Field of type int32: negative values take ten bytes, as protobuf wants it.
    mutating func field(_ number: Int, _ value: Int32) { field(number, UInt64(bitPattern: Int64(value))) }
    mutating func field(_ number: Int, _ value: Bool) { field(number, UInt64(value ? 1 : 0)) }

    /// Field of type bytes, or a submessage.
    mutating func field(_ number: Int, bytes value: some Collection<UInt8>) {
        varint(UInt64(number) << 3 | 2)
        varint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }
    mutating func field(_ number: Int, _ value: String) { field(number, bytes: value.utf8) }
    mutating func field(_ number: Int, message: (inout ProtobufWriter) -> Void) {
        var inner = ProtobufWriter()
        message(&inner)
        field(number, bytes: inner.bytes)
    }

    /// Bytes that are fields already.
    mutating func append(_ encoded: some Collection<UInt8>) { bytes.append(contentsOf: encoded) }
}
