import Host
public import Model
import NIOCore

/// The sending end of a data stream. Its calls block the producer's thread while the link is busy: between the
/// producer and the kernel there are never more than `ConnectionOptions.inFlightLimit` bytes (and one buffer).
///
/// Frames are gathered in buffers of 256 KiB; `flush` sends what is there. Calls from several threads are taken one
/// after the other. Every call throws once the connection is lost, with what the receiving side said of it if it
/// said anything. After an error the stream is of no use.
public final class DataSender: Sendable {
    public let connection: Connection
    private let producer: Producer
    private let flow: StreamFlow
    private let limit: BandwidthLimit?

    /// Takes over a connection of role data.
    /// - Parameter limit: shared by all streams of a migration, or nil.
    public init(_ connection: Connection, compression: CompressionMode = .auto, limit: BandwidthLimit? = nil) {
        self.connection = connection
        self.limit = limit
        producer = Producer(FrameWriter(mode: compression))
        flow = StreamFlow(connection)
        connection.take(over: OnLoop(SenderHandler(connection, flow)))
        flow.keepWarm(connection.options.keepWarm)
    }

    /// Sends content of neighbouring pages from `address` on.
    /// - Parameter bytes: whole pages; copied once, free for reuse when the call returns.
    public func pages(space: SpaceID, address: UInt64, bytes: UnsafeRawBufferPointer) throws(WireError) {
        guard bytes.count % pageSize == 0 else { throw .limit("\(bytes.count) bytes are no whole pages") }
        try checkRun(space, address, bytes.count / pageSize)
        try locked { writer throws(WireError) in
            var done = 0
            while done < bytes.count {
                let count = writer.pagesOfNextFrame((bytes.count - done) / pageSize)
                try self.makeRoom(&writer, count * pageSize)
                writer.write(
                    FrameHeader(kind: .pages, space: space.rawValue, count: UInt32(count), address: address + UInt64(done)),
                    payload: UnsafeRawBufferPointer(rebasing: bytes[done..<(done + count * pageSize)]))
                done += count * pageSize
            }
        }
    }

    /// Most pages of one `pages(space:run:fill:)`: a frame that fills a buffer.
    public static let pagesPerFill = FrameWriter.pagesPerFrame

    /// Sends neighbouring pages that `fill` reads straight into the frame, without a copy between.
    /// - Parameters:
    ///   - run: at most `pagesPerFill` pages.
    ///   - fill: gets room for the whole run. When it returns false nothing is sent, and the call returns false.
    @discardableResult
    public func pages(
        space: SpaceID, run: PageRun, fill: (UnsafeMutableRawBufferPointer) -> Bool
    ) throws(WireError) -> Bool {
        guard run.count <= Self.pagesPerFill else { throw .limit("\(run.count) pages in one frame") }
        try checkRun(space, run.start, run.count)
        return try locked { writer throws(WireError) in
            try self.makeRoom(&writer, run.byteCount)
            let header = FrameHeader(kind: .pages, space: space.rawValue, count: UInt32(run.count), address: run.start)
            do throws(NotFilled) {
                try writer.write(header, length: run.byteCount) { bytes throws(NotFilled) in
                    if !fill(bytes) { throw NotFilled() }
                }
                return true
            } catch {
                return false
            }
        }
    }

    private struct NotFilled: Error {}

    /// Says that pages are all zero.
    public func zero(space: SpaceID, run: PageRun) throws(WireError) { try announce(.zero, space, run) }

    /// Says that what came of pages before is void: their content follows after the release.
    public func stale(space: SpaceID, run: PageRun) throws(WireError) { try announce(.stale, space, run) }

    private func announce(_ kind: FrameKind, _ space: SpaceID, _ run: PageRun) throws(WireError) {
        try checkRun(space, run.start, run.count)
        try locked { writer throws(WireError) in
            for part in run.parts(of: Int(UInt32.max)) {
                try self.makeRoom(&writer, 0)
                writer.write(
                    FrameHeader(kind: kind, space: space.rawValue, count: UInt32(part.count), address: part.start),
                    payload: UnsafeRawBufferPointer(start: nil, count: 0))
            }
        }
    }

    /// Says what the receiver should have of neighbouring pages from `address` on.
    /// - Parameter marks: a hash a page, 8 bytes each; 1 to 512 of them.
    public func held(space: SpaceID, address: UInt64, marks bytes: UnsafeRawBufferPointer) throws(WireError) {
        let count = bytes.count / FrameLimit.markBytes
        guard bytes.count % FrameLimit.markBytes == 0, (1...Int(FrameLimit.pages)).contains(count) else {
            throw .limit("hashes of \(count) pages in one frame")
        }
        try checkRun(space, address, count)
        try locked { writer throws(WireError) in
            try self.makeRoom(&writer, bytes.count)
            writer.write(
                FrameHeader(kind: .held, space: space.rawValue, count: UInt32(count), address: address), payload: bytes)
        }
    }

    /// - Throws: why the stream has ended, if it has.
    public func check() throws(WireError) { try flow.check() }

    /// Announces pages that exist at the freeze, in as many frames as it takes. An empty list is announced as well.
    public func live(space: SpaceID, runs: [PageRun]) throws(WireError) {
        for run in runs { try checkRun(space, run.start, run.count) }
        let entries = runs.flatMap { $0.parts(of: Int(UInt32.max)) }
        try locked { writer throws(WireError) in
            var first = 0
            repeat {
                let part = entries[first..<min(entries.count, first + Int(FrameLimit.liveRuns))]
                let length = part.count * FrameLimit.liveRunBytes
                try self.makeRoom(&writer, length)
                writer.write(FrameHeader(kind: .live, space: space.rawValue, count: UInt32(part.count)), length: length) {
                    bytes in
                    storeLiveRuns(part, in: bytes)
                }
                first += part.count
            } while first < entries.count
        }
    }

    /// Sends part of a blob from `offset` on; an empty part is sent as well (an empty file).
    public func blob(id: UInt32, offset: UInt64, bytes: UnsafeRawBufferPointer) throws(WireError) {
        guard offset <= FrameLimit.blobEnd, UInt64(bytes.count) <= FrameLimit.blobEnd - offset else {
            throw .limit("a blob beyond \(FrameLimit.blobEnd) bytes")
        }
        try locked { writer throws(WireError) in
            var done = 0
            repeat {
                let length = min(bytes.count - done, FrameWriter.blobPerFrame)
                try self.makeRoom(&writer, length)
                writer.write(
                    FrameHeader(kind: .blob, space: id, count: UInt32(length), address: offset + UInt64(done)),
                    payload: UnsafeRawBufferPointer(rebasing: bytes[done..<(done + length)]))
                done += length
            } while done < bytes.count
        }
    }

    /// Sends a frame of the network.
    /// - Parameter bytes: 24 to 65,819, with a virtio_net_hdr in front.
    public func packet(interface: Int, bytes: UnsafeRawBufferPointer) throws(WireError) {
        guard let length = UInt32(exactly: bytes.count), FrameLimit.packetBytes.contains(length),
            let number = UInt64(exactly: interface), number < FrameLimit.interfaces
        else { throw .limit("a frame of \(bytes.count) bytes for interface \(interface)") }
        try locked { writer throws(WireError) in
            try self.makeRoom(&writer, bytes.count)
            writer.write(FrameHeader(kind: .packet, count: length, address: number), payload: bytes)
        }
    }

    /// Marks a point in the stream and sends all before it.
    public func mark(token: UInt64) throws(WireError) { try sendLast(FrameHeader(kind: .mark, address: token)) }

    /// Sends the end frame; nothing may follow. Waits until the kernel has taken everything.
    public func finish() throws(WireError) {
        flow.keepWarm(false)
        try sendLast(FrameHeader(kind: .end))
        try drain()
    }

    /// Sends a frame of filler, which the receiver ignores.
    /// - Returns: its bytes on the wire.
    func fill() throws(WireError) -> Int {
        let length = Int(FrameLimit.warmBytes) - FrameHeader.byteCount
        try locked { writer throws(WireError) in
            try self.makeRoom(&writer, length)
            writer.write(FrameHeader(kind: .warm), length: length) { $0.initializeMemory(as: UInt8.self, repeating: 0) }
        }
        return FrameHeader.byteCount + length
    }

    private func sendLast(_ header: FrameHeader) throws(WireError) {
        try locked { writer throws(WireError) in
            try self.makeRoom(&writer, 0)
            writer.write(header, payload: UnsafeRawBufferPointer(start: nil, count: 0))
            try self.handOver(&writer)
        }
    }

    /// Sends what was gathered. Waits only if the link is busy.
    public func flush() throws(WireError) {
        try locked { writer throws(WireError) in try self.handOver(&writer) }
    }

    /// Sends what was gathered and waits until the kernel has taken all of it.
    public func drain() throws(WireError) {
        try flush()
        try flow.waitUntilDrained()
    }

    /// Fills pauses with filler so that the congestion window stays open, or stops that.
    public func keepWarm(_ warm: Bool) { flow.keepWarm(warm) }

    /// Waits until filler has opened the congestion window: at a round trip of 50 ms some 0.3 s, without one some milliseconds.
    /// - Returns: false if it took longer.
    @discardableResult
    public func waitUntilWarm(within limit: Duration) -> Bool { flow.waitUntilOpen(within: limit) }

    /// Closes the connection, without an end frame if `finish` was not called. Does not wait.
    public func close() {
        flow.end(.closed(peer: connection.peer))
        connection.close()
    }

    /// What was handed to the connection so far. Never waits for a blocked producer.
    public var counters: DataCounters { flow.counters }

    /// Bytes handed to the connection that the kernel has not taken.
    public var inFlight: ByteCount { ByteCount(flow.inFlight) }

    private func locked<Value>(_ body: (inout FrameWriter) throws(WireError) -> Value) throws(WireError) -> Value {
        try flow.check()
        return try producer.withLock(body)
    }

    private func makeRoom(_ writer: inout FrameWriter, _ length: Int) throws(WireError) {
        if writer.needsNewBuffer(for: length) { try handOver(&writer) }
    }

    /// Waits for room and gives the current buffer to the event loop.
    private func handOver(_ writer: inout FrameWriter) throws(WireError) {
        guard let buffer = writer.takeBuffer() else { return }
        let limited = limit?.take(buffer.readableBytes) ?? .zero
        let progress = try flow.send(buffer, payloadBytes: writer.payloadBytes, frames: writer.frames, codec: writer.choice.codec)
        writer.choice.drained(bytes: progress.drained, blocked: progress.blocked + limited, elapsed: progress.elapsed)
    }

    private func checkRun(_ space: SpaceID, _ start: UInt64, _ count: Int) throws(WireError) {
        guard space.rawValue != 0, count >= 0, start % UInt64(pageSize) == 0, start < FrameLimit.addressEnd,
            UInt64(count) <= (FrameLimit.addressEnd - start) / UInt64(pageSize)
        else { throw .limit("\(count) pages at 0x\(String(start, radix: 16)) of space \(space.rawValue)") }
    }
}

/// The writer with its lock, which a producer holds while it waits for the link.
private final class Producer: @unchecked Sendable {
    // SAFETY: `writer` is touched only with `lock` held.
    private let lock = Monitor(())
    private var writer: FrameWriter

    init(_ writer: consuming FrameWriter) { self.writer = writer }

    func withLock<Value>(_ body: (inout FrameWriter) throws(WireError) -> Value) throws(WireError) -> Value {
        try lock.withLock { _ throws(WireError) in try body(&writer) }
    }
}

extension PageRun {
    /// The run in parts of at most `limit` pages; none for an empty run.
    func parts(of limit: Int) -> [PageRun] {
        stride(from: 0, to: count, by: limit).map { first in
            PageRun(start: start + UInt64(first * pageSize), count: min(limit, count - first))
        }
    }
}
