import Model

/// What a frame on a data stream carries.
public enum FrameKind: UInt8, Sendable, CaseIterable {
    /// Content of neighbouring pages.
    case pages = 1
    /// Neighbouring pages that are all zero.
    case zero = 2
    /// Runs of pages that exist at the freeze.
    case live = 3
    /// Part of an image file or any other named bytes.
    case blob = 4
    /// A point in the stream, such as the end of a round.
    case mark = 5
    /// Nothing follows on this stream.
    case end = 6
    /// Filler that keeps the congestion window open; to be ignored.
    case warm = 7
    /// Neighbouring pages whose content, if any came before, is void: it follows after the release (hybrid).
    case stale = 8
    /// A frame of the network that came for the container while it was cut off.
    case packet = 9
    /// What the sender believes to be at the receiver: a hash a page (`PageMark`), to be compared.
    case held = 10

    var codecsDue: String { allowsCompression ? "0 (none), 1 (lz4) or 2 (zstd)" : "0 (none)" }
    var allowsCompression: Bool { self == .pages || self == .blob }
}

/// The first 24 bytes of every frame, all numbers little-endian.
///
/// | offset | bytes | content |
/// |---|---|---|
/// | 0 | 1 | kind |
/// | 1 | 1 | codec of the payload |
/// | 2 | 2 | zero |
/// | 4 | 4 | length of the payload that follows |
/// | 8 | 4 | address space (pages, zero, stale, live, held), blob (blob), else zero |
/// | 12 | 4 | count: pages (pages, zero, stale, held), runs (live), unpacked bytes (blob, packet), else zero |
/// | 16 | 8 | first address (pages, zero, stale, held), offset (blob), token (mark), interface (packet), else zero |
struct FrameHeader: Equatable {
    static let byteCount = 24

    var kind: FrameKind
    var codec: Codec = .none
    var payloadLength: UInt32 = 0
    var space: UInt32 = 0
    var count: UInt32 = 0
    var address: UInt64 = 0

    /// Bytes of the payload once unpacked.
    var unpackedLength: Int {
        switch kind {
        case .pages: Int(count) * pageSize
        case .blob, .packet: Int(count)
        case .live: Int(count) * FrameLimit.liveRunBytes
        case .held: Int(count) * FrameLimit.markBytes
        case .warm: Int(payloadLength)
        case .zero, .stale, .mark, .end: 0
        }
    }

    /// Stores the 24 bytes at the start of `bytes`.
    func store(in bytes: UnsafeMutableRawBufferPointer) {
        bytes.storeLittleEndian(kind.rawValue, at: 0)
        bytes.storeLittleEndian(codec.rawValue, at: 1)
        bytes.storeLittleEndian(UInt16(0), at: 2)
        bytes.storeLittleEndian(payloadLength, at: 4)
        bytes.storeLittleEndian(space, at: 8)
        bytes.storeLittleEndian(count, at: 12)
        bytes.storeLittleEndian(address, at: 16)
    }

    /// Reads and checks 24 bytes. What passes is within every limit, so that nothing behind has to ask again.
    init(decoding bytes: UnsafeRawBufferPointer) throws(FrameError) {
        let kindByte = bytes.littleEndian(at: 0, as: UInt8.self)
        guard let kind = FrameKind(rawValue: kindByte) else { throw .kind(came: kindByte) }
        let codecByte = bytes.littleEndian(at: 1, as: UInt8.self)
        guard let codec = Codec(rawValue: codecByte), codec == .none || kind.allowsCompression else {
            throw .codec(came: codecByte, kind: kind)
        }
        let reserved = bytes.littleEndian(at: 2, as: UInt16.self)
        guard reserved == 0 else { throw .reserved(came: reserved) }
        self.init(
            kind: kind, codec: codec,
            payloadLength: bytes.littleEndian(at: 4, as: UInt32.self),
            space: bytes.littleEndian(at: 8, as: UInt32.self),
            count: bytes.littleEndian(at: 12, as: UInt32.self),
            address: bytes.littleEndian(at: 16, as: UInt64.self))
        try checkFields()
        try checkPayloadLength()
    }

    init(
        kind: FrameKind, codec: Codec = .none, payloadLength: UInt32 = 0, space: UInt32 = 0, count: UInt32 = 0,
        address: UInt64 = 0
    ) {
        self.kind = kind
        self.codec = codec
        self.payloadLength = payloadLength
        self.space = space
        self.count = count
        self.address = address
    }
}
