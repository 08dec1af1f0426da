import Host
import Model
import NIOCore

/// Puts frames into buffers that are handed to the event loop when they are full. Belongs to the producer's side;
/// whoever uses it holds the sender's lock.
struct FrameWriter: ~Copyable {
    /// Size of a buffer. 256 KiB writes moved as fast as larger ones and stay in the second-level cache between
    /// reading a page and encrypting it.
    static let bufferSize = 256 << 10
    /// A frame of pages that fills a buffer together with its header.
    static let pagesPerFrame = bufferSize / pageSize - 1
    static let blobPerFrame = pagesPerFrame * pageSize
    /// Smaller payloads go plain: a page or less gains nothing worth a decision.
    static let smallestPacked = 2 * pageSize

    private var buffer: ByteBuffer?
    private var packer: Packer?
    private var scratch: UnsafeMutableRawBufferPointer?
    var choice: CompressionChoice
    private(set) var payloadBytes = 0
    private(set) var frames = 0

    init(mode: CompressionMode) {
        buffer = nil
        packer = nil
        scratch = nil
        choice = CompressionChoice(mode)
    }

    deinit { scratch?.deallocate() }

    /// Room that is left in the current buffer.
    private var room: Int { buffer.map { Self.bufferSize - $0.writerIndex } ?? Self.bufferSize }

    /// The current buffer, to be sent; nil when nothing was written.
    mutating func takeBuffer() -> ByteBuffer? {
        defer { buffer = nil }
        return buffer
    }

    /// True when a frame of `length` payload bytes needs a new buffer.
    func needsNewBuffer(for length: Int) -> Bool { room < FrameHeader.byteCount + length }

    /// Pages of the next frame when `count` are left: fills the current buffer if that is worth a frame.
    func pagesOfNextFrame(_ count: Int) -> Int {
        let fitting = (room - FrameHeader.byteCount) / pageSize
        return fitting >= min(count, 8) ? min(count, fitting) : min(count, Self.pagesPerFrame)
    }

    /// Writes a frame whose payload `fill` stores in place. There is room for it.
    /// - Parameter fill: gets exactly `length` bytes; when it throws nothing was written.
    mutating func write<Failure: Error>(
        _ header: FrameHeader, length: Int, fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        let codec = header.kind.allowsCompression && length >= Self.smallestPacked ? choice.codecForNextFrame() : .none
        if codec != .none {
            let plain = UnsafeMutableRawBufferPointer(rebasing: scratchBuffer()[..<length])
            try fill(plain)
            writePacked(header, UnsafeRawBufferPointer(plain), codec)
        } else {
            var frame = header
            frame.payloadLength = UInt32(length)
            try append(length: length) { (target) throws(Failure) in
                frame.store(in: target)
                try fill(UnsafeMutableRawBufferPointer(rebasing: target[FrameHeader.byteCount...]))
            }
        }
        if header.kind != .warm { payloadBytes += length }
        frames += 1
    }

    /// The same for a payload that lies in memory already.
    mutating func write(_ header: FrameHeader, payload: UnsafeRawBufferPointer) {
        let codec = header.kind.allowsCompression && payload.count >= Self.smallestPacked ? choice.codecForNextFrame() : .none
        if codec != .none {
            writePacked(header, payload, codec)
        } else {
            writePlain(header, payload)
        }
        payloadBytes += payload.count
        frames += 1
    }

    private mutating func writePlain(_ header: FrameHeader, _ payload: UnsafeRawBufferPointer) {
        var frame = header
        frame.payloadLength = UInt32(payload.count)
        append(length: payload.count) { target in
            frame.store(in: target)
            target.place(payload, at: FrameHeader.byteCount)
        }
    }

    private mutating func writePacked(_ header: FrameHeader, _ payload: UnsafeRawBufferPointer, _ codec: Codec) {
        if packer == nil { packer = Packer() }
        var packed = buffer ?? Self.newBuffer()
        buffer = nil
        let start = packed.writerIndex
        let began = MonotonicInstant.now
        var length: Int?
        // What gains less than a sixteenth goes plain: unpacking has its price on the other side.
        let most = payload.count - payload.count / 16
        packed.writeWithUnsafeMutableBytes(minimumWritableBytes: FrameHeader.byteCount + payload.count) { target in
            let body = UnsafeMutableRawBufferPointer(rebasing: target[FrameHeader.byteCount..<(FrameHeader.byteCount + most)])
            length = packer?.pack(payload, with: codec, into: body)
            guard let length else { return 0 }
            var frame = header
            frame.codec = codec
            frame.payloadLength = UInt32(length)
            frame.store(in: target)
            return FrameHeader.byteCount + length
        }
        choice.packed(with: codec, length: payload.count, packedLength: length, time: began.elapsed)
        if packed.writerIndex > start || start > 0 { buffer = packed }
        if length == nil { writePlain(header, payload) }
    }

    private mutating func append<Failure: Error>(
        length: Int, _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        let total = FrameHeader.byteCount + length
        var target = buffer ?? Self.newBuffer()
        buffer = nil  // so that the buffer is not shared, which would copy it
        var failure: Failure?
        target.writeWithUnsafeMutableBytes(minimumWritableBytes: total) { bytes in
            do throws(Failure) {
                try body(UnsafeMutableRawBufferPointer(rebasing: bytes[..<total]))
                return total
            } catch {
                failure = error
                return 0
            }
        }
        if target.writerIndex > 0 { buffer = target }
        if let failure { throw failure }
    }

    private static func newBuffer() -> ByteBuffer { ByteBufferAllocator().buffer(capacity: bufferSize) }

    private mutating func scratchBuffer() -> UnsafeMutableRawBufferPointer {
        if let scratch { return scratch }
        let new = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferSize, alignment: pageSize)
        scratch = new
        return new
    }
}
