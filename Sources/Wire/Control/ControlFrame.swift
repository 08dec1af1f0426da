/// The framing of a control connection: 8 bytes, then the payload. All numbers little-endian.
///
/// | offset | bytes | content |
/// |---|---|---|
/// | 0 | 4 | length of the payload |
/// | 4 | 1 | kind: 1 message, 2 ping, 3 pong, 4 goodbye |
/// | 5 | 3 | zero |
struct ControlHeader: Equatable {
    enum Kind: UInt8 {
        /// Opaque to this room.
        case message = 1
        /// 8 bytes: the sender's clock.
        case ping = 2
        /// 24 bytes: the ping's 8, the clock when it came, the clock when this went.
        case pong = 3
        /// Why the sender closes, UTF-8.
        case goodbye = 4
    }

    static let byteCount = 8
    /// The description of a container with all its mounts is below 1 MiB; this leaves room and bounds a bad peer.
    static let messageLimit = 16 << 20
    static let goodbyeLimit = 1024

    var kind: Kind
    var length: Int

    var encoded: [UInt8] {
        let length = UInt32(length)
        return (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + [kind.rawValue, 0, 0, 0]
    }

    init(kind: Kind, length: Int) {
        self.kind = kind
        self.length = length
    }

    /// - Parameter bytes: the length as it came and the four bytes behind it.
    init(length: UInt32, rest: UInt32) throws(ControlError) {
        let kindByte = UInt8(truncatingIfNeeded: rest)
        guard let kind = Kind(rawValue: kindByte) else { throw .kind(came: kindByte) }
        guard rest >> 8 == 0 else { throw .reserved(came: rest >> 8) }
        let due: ClosedRange<Int> =
            switch kind {
            case .message: 0...Self.messageLimit
            case .ping: 8...8
            case .pong: 24...24
            case .goodbye: 0...Self.goodbyeLimit
            }
        guard due.contains(Int(length)) else { throw .length(kind: "\(kind)", came: Int(length), due: due) }
        self.init(kind: kind, length: Int(length))
    }
}

/// Why bytes on a control connection are no message.
enum ControlError: Error, Equatable, CustomStringConvertible {
    case kind(came: UInt8)
    case reserved(came: UInt32)
    case length(kind: String, came: Int, due: ClosedRange<Int>)

    var description: String {
        switch self {
        case .kind(let came): "control kind \(came) came, 1 to 4 was due"
        case .reserved(let came): "reserved bytes 0x\(String(came, radix: 16)) came, zero was due"
        case .length(let kind, let came, let due):
            due.count == 1
                ? "a \(kind) of \(came) bytes came, \(due.lowerBound) were due"
                : "a \(kind) of \(came) bytes came, \(due.lowerBound) to \(due.upperBound) were due"
        }
    }
}
