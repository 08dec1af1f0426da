/// Bytes that are no protobuf message.
struct ProtobufError: Error, Hashable, CustomStringConvertible {
    var offset: Int
    var what: String
    var description: String { "\(what) at byte \(offset)" }
}

/// Reads protobuf's wire format, field by field. Never reads beyond its bytes, whatever they claim.
struct ProtobufReader {
    /// A field. Of the wire's kinds only varints and counted bytes are kept: CRIU's messages that are read here have
    /// no others.
    struct Field {
        var number: Int
        /// The value of a varint field.
        var unsigned: UInt64?
        /// The contents of a string, bytes or submessage field.
        var bytes: ArraySlice<UInt8>?
        /// Where the field, key included, lies.
        var range: Range<Int>

        var bool: Bool? { unsigned.map { $0 != 0 } }
        /// An int32, which travels as 64 bits.
        var int32: Int32? { unsigned.map { Int32(truncatingIfNeeded: $0) } }
        var uint32: UInt32? { unsigned.map { UInt32(truncatingIfNeeded: $0) } }
        var string: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }
    }

    private let bytes: ArraySlice<UInt8>
    private var at: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        at = bytes.startIndex
    }
    init(_ bytes: [UInt8]) { self.init(bytes[...]) }

    private func failure(_ what: String) -> ProtobufError { ProtobufError(offset: at - bytes.startIndex, what: what) }

    /// The next field, nil at the end.
    mutating func next() throws(ProtobufError) -> Field? {
        guard at < bytes.endIndex else { return nil }
        let start = at
        let key = try varint()
        guard let number = Int(exactly: key >> 3), (1...0x1fff_ffff).contains(number) else { throw failure("no field number") }
        var unsigned: UInt64?, contents: ArraySlice<UInt8>?
        switch key & 7 {
        case 0: unsigned = try varint()
        case 1: try skip(8)
        case 2: contents = try counted()
        case 5: try skip(4)
        default: throw failure("unknown wire type \(key & 7)")
        }
        return Field(number: number, unsigned: unsigned, bytes: contents, range: start..<at)
    }

    private mutating func varint() throws(ProtobufError) -> UInt64 {
        var value: UInt64 = 0, shift: UInt64 = 0
        while at < bytes.endIndex, shift < 64 {
            let byte = bytes[at]
            at += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
        throw failure("a number without an end")
    }

    private mutating func skip(_ count: Int) throws(ProtobufError) {
        guard bytes.endIndex - at >= count else { throw failure("a number without an end") }
        at += count
    }

    private mutating func counted() throws(ProtobufError) -> ArraySlice<UInt8> {
        let count = try varint()
        guard count <= UInt64(bytes.endIndex - at) else {
            throw failure("\(count) bytes are announced, \(bytes.endIndex - at) are there")
        }
        defer { at += Int(count) }
        return bytes[at..<at + Int(count)]
    }
}
