import Glibc
import Host
import Model
import Synchronization
import Testing

@testable import Wire

/// Stores pages in memory, as the page store does; can be slow on purpose.
final class MemorySink: FrameSink {
    struct State {
        var pages: [UInt64: [UInt8]] = [:]
        var zero: [PageRun] = []
        var live: [PageRun] = []
        var marks: [UInt64] = []
        var bytes = 0
    }
    let state = Mutex(State())
    let marks = Mailbox<UInt64>()
    /// While this is held the sink takes nothing.
    let gate = Monitor(true)

    func pages(space: SpaceID, address: UInt64, bytes: UnsafeRawBufferPointer) throws(SinkFailure) {
        gate.wait { $0 ? () : nil }
        state.withLock { state in
            state.bytes += bytes.count
            for offset in stride(from: 0, to: bytes.count, by: pageSize) {
                state.pages[address + UInt64(offset)] = Array(bytes[offset..<(offset + pageSize)])
            }
        }
    }
    func zero(space: SpaceID, run: PageRun) { state.withLock { $0.zero.append(run) } }
    func stale(space: SpaceID, run: PageRun) {}
    func held(space: SpaceID, address: UInt64, marks: UnsafeRawBufferPointer) {}
    func live(space: SpaceID, runs: [PageRun]) { state.withLock { $0.live += runs } }
    func blob(id: UInt32, offset: UInt64, bytes: UnsafeRawBufferPointer) { state.withLock { $0.bytes += bytes.count } }
    func packet(interface: Int, bytes: UnsafeRawBufferPointer) {}
    func mark(token: UInt64) { marks.post(token) }
    func end() {}
}

/// A data stream over loopback TLS with its receiver.
struct Stream {
    let sender: DataSender
    let receiver: DataReceiver
    let sink: MemorySink
    let closed: Mailbox<WireError?>

    init(
        compression: CompressionMode = .none, limit: BandwidthLimit? = nil, options: ConnectionOptions = ConnectionOptions(),
        secure: Bool = true, sink: any FrameSink = MemorySink()
    ) throws {
        let hosts = try TwoHosts()
        let (dialled, accepted) = try meet(
            role: .data, client: secure ? hosts.alpha : nil, server: secure ? hosts.beta : nil, options: options
        ).both()
        let closed = Mailbox<WireError?>()
        self.closed = closed
        self.sink = sink as? MemorySink ?? MemorySink()
        receiver = DataReceiver(accepted, sink: sink) { closed.post($0) }
        sender = DataSender(dialled, compression: compression, limit: limit)
    }

    /// What the receiver said at its end; fails when it does not end.
    func end() throws -> WireError? { try #require(closed.next(deadline: .now + patience)) }
}

private let space = SpaceID(1)

@Suite struct StreamTests {
    @Test(arguments: [CompressionMode.none, .lz4, .zstd, .auto], [true, false])
    func `pages arrive as they were sent`(mode: CompressionMode, secure: Bool) throws {
        let stream = try Stream(compression: mode, secure: secure)
        var seeded = Seeded(3)
        let count = 700
        let content = (0..<count).flatMap { $0 % 3 == 0 ? seeded.noise(pageSize) : texture(pageSize, seed: $0) }
        let start: UInt64 = 0x7f00_0000_0000
        // Runs of many sizes, in a mixture of both ways to send them.
        var done = 0
        while done < count {
            let run = PageRun(
                start: start + UInt64(done * pageSize), count: min(count - done, .random(in: 1...200, using: &seeded)))
            try content.withUnsafeBytes { bytes in
                let part = UnsafeRawBufferPointer(rebasing: bytes[(done * pageSize)..<(done * pageSize + run.byteCount)])
                if run.count <= DataSender.pagesPerFill && run.count % 2 == 0 {
                    #expect(
                        try stream.sender.pages(space: space, run: run) {
                            $0.copyMemory(from: part)
                            return true
                        })
                } else {
                    try stream.sender.pages(space: space, address: run.start, bytes: part)
                }
            }
            done += run.count
        }
        try stream.sender.zero(space: space, run: PageRun(start: 0x1000, count: 5))
        let live = (1...5000).map { PageRun(start: UInt64($0) << 20, count: $0) }
        try stream.sender.live(space: space, runs: live)
        try stream.sender.mark(token: 42)
        #expect(stream.sink.marks.next(deadline: .now + patience) == 42)
        try stream.sender.finish()
        #expect(try stream.end() == nil)
        stream.sink.state.withLock { state in
            #expect(state.pages.count == count)
            #expect(
                (0..<count).allSatisfy { page in
                    state.pages[start + UInt64(page * pageSize)]! == Array(content[(page * pageSize)..<((page + 1) * pageSize)])
                })
            #expect(state.zero == [PageRun(start: 0x1000, count: 5)])
            #expect(state.live == live)
        }
        #expect(stream.receiver.bytesReceived == stream.sender.counters.wireBytes)
        #expect(stream.sender.counters.payloadBytes.rawValue == content.count + 5000 * 16)
        stream.sender.close()
    }

    @Test func `a page that could not be read is not sent`() throws {
        let stream = try Stream()
        #expect(try stream.sender.pages(space: space, run: PageRun(start: 0x1000, count: 1)) { _ in false } == false)
        try stream.sender.zero(space: space, run: PageRun(start: 0x2000, count: 1))
        try stream.sender.finish()
        #expect(try stream.end() == nil)
        #expect(stream.sink.state.withLock { $0.pages.isEmpty && $0.zero.count == 1 })
    }

    @Test func `a blob of any size arrives`() throws {
        let sink = RecordingSink()
        let stream = try Stream(sink: sink)
        let content = texture(3_000_001)
        try content.withUnsafeBytes { try stream.sender.blob(id: 9, offset: 5, bytes: $0) }
        try stream.sender.blob(id: 10, offset: 0, bytes: UnsafeRawBufferPointer(start: nil, count: 0))
        try stream.sender.finish()
        #expect(try stream.end() == nil)
        #expect(sink.events == [.blob(9, 5, content), .blob(10, 0, []), .end])
    }

    @Test func `a slow receiver holds the sender back and its memory stays bounded`() throws {
        var options = ConnectionOptions()
        options.inFlightLimit = .mebibytes(1)
        options.sendBuffer = .kibibytes(64)
        let stream = try Stream(options: options)
        stream.sink.gate.withLock { $0 = false }
        let sent = Atomic(0)
        let total = 512
        let done = Mailbox<WireError?>()
        let page = texture(256 * pageSize)
        let producer = try Thread(named: "producer") { [sender = stream.sender] in
            do throws(WireError) {
                for piece in 0..<(total / 8) {
                    let failure = page.withUnsafeBytes { bytes -> WireError? in
                        do throws(WireError) {
                            try sender.pages(space: space, address: UInt64(piece) << 20, bytes: bytes)
                            return nil
                        } catch { return error }
                    }
                    if let failure { throw failure }
                    sent.add(1, ordering: .relaxed)
                }
                try sender.finish()
                done.post(nil)
            } catch { done.post(error) }
        }
        // The producer comes to a stop: two looks a while apart see the same count.
        var last = -1
        while true {
            sleepThread(.milliseconds(300))
            let now = sent.load(ordering: .relaxed)
            if now == last && now > 0 { break }
            last = now
        }
        #expect(stream.sender.inFlight <= .mebibytes(1))
        // In flight, socket buffers of both sides, one read of the receiver: far below the 64 MiB to be sent.
        #expect(last < 24)
        stream.sink.gate.withLock { $0 = true }
        #expect(try #require(done.next(deadline: .now + patience)) == nil)
        producer.join()
        #expect(try stream.end() == nil)
        #expect(stream.sink.state.withLock { $0.bytes } == total / 8 * page.count)
        #expect(stream.sender.counters.blocked > .milliseconds(100))
    }

    @Test func `a receiver that dies in the middle wakes the blocked sender`() throws {
        let stream = try Stream()
        stream.sink.gate.withLock { $0 = false }
        let failure = Mailbox<WireError>()
        let page = texture(256 * pageSize)
        let producer = try Thread(named: "producer") { [sender = stream.sender] in
            page.withUnsafeBytes { bytes in
                do throws(WireError) {
                    while true { try sender.pages(space: space, address: 0, bytes: bytes) }
                } catch { failure.post(error) }
            }
        }
        while stream.sender.counters.blocked == .zero && stream.sender.inFlight < .mebibytes(3) { sleepThread(.milliseconds(5)) }
        stream.receiver.connection.close()
        stream.sink.gate.withLock { $0 = true }
        let error = try #require(failure.next(deadline: .now + patience))
        guard case .lost = error else {
            Issue.record("\(error)")
            return
        }
        producer.join()
        #expect(throws: WireError.self) { try stream.sender.flush() }
    }

    @Test func `a sender that dies in the middle is told apart from an end`() throws {
        let stream = try Stream()
        let page = texture(pageSize)
        try page.withUnsafeBytes { try stream.sender.pages(space: space, address: 0, bytes: $0) }
        try stream.sender.drain()
        stream.sender.close()
        let error = try stream.end()
        guard case .lost(_, let why) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(why == "the stream ended without an end frame")
    }

    @Test func `what the receiver's store says reaches the sender`() throws {
        let stream = try Stream(sink: RecordingSink(failing: "page store is full: no space left on device"))
        let page = texture(256 * pageSize)
        var failure: (any Error)?
        do {
            for _ in 0..<1000 { try page.withUnsafeBytes { try stream.sender.pages(space: space, address: 0, bytes: $0) } }
        } catch { failure = error }
        let text = "the received data could not be stored: page store is full: no space left on device"
        guard case .complaint(_, text) = failure as? WireError else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(
            try stream.end()
                == .frame(peer: stream.receiver.connection.peer, .sink("page store is full: no space left on device")))
    }

    @Test func `a corrupt frame closes the connection with the reason on both sides`() throws {
        let stream = try Stream()
        stream.sender.connection.sendRaw(frame(FrameHeader(kind: .zero, count: 1)))
        #expect(try stream.end() == .frame(peer: stream.receiver.connection.peer, .space(kind: .zero)))
        stream.sender.connection.waitUntilClosed()
        #expect(
            throws: WireError.complaint(
                peer: stream.sender.connection.peer, "a zero frame for address space 0 came, 1 or more was due")
        ) { try stream.sender.flush() }
    }

    @Test func `requests beyond the limits are refused before anything is sent`() throws {
        let stream = try Stream()
        let odd = [UInt8](repeating: 1, count: 100)
        #expect(throws: WireError.self) {
            try odd.withUnsafeBytes { try stream.sender.pages(space: space, address: 0, bytes: $0) }
        }
        #expect(throws: WireError.self) { try stream.sender.zero(space: SpaceID(0), run: PageRun(start: 0, count: 1)) }
        #expect(throws: WireError.self) { try stream.sender.zero(space: space, run: PageRun(start: 5, count: 1)) }
        #expect(throws: WireError.self) { try stream.sender.zero(space: space, run: PageRun(start: 1 << 56, count: 1)) }
        try stream.sender.finish()
        #expect(try stream.end() == nil)
    }

    @Test func `a bandwidth limit holds for the stream`() throws {
        let stream = try Stream(limit: BandwidthLimit(rate: .mebibytes(20)))
        let content = [UInt8](repeating: 7, count: 8 << 20)
        let began = MonotonicInstant.now
        try content.withUnsafeBytes { try stream.sender.pages(space: space, address: 0, bytes: $0) }
        try stream.sender.finish()
        // 8 MiB at 20 MiB/s less the bucket's 2 MiB: 0.3 s at least.
        #expect(began.elapsed > .milliseconds(290))
        #expect(try stream.end() == nil)
    }

    @Test func `filler flows only while nothing else does`() throws {
        var options = ConnectionOptions()
        options.keepWarm = true
        let stream = try Stream(options: options)
        let deadline = MonotonicInstant.now + patience
        while stream.sender.counters.warmBytes < .kibibytes(200), MonotonicInstant.now < deadline {
            sleepThread(.milliseconds(10))
        }
        #expect(stream.sender.counters.warmBytes > .kibibytes(190))
        try stream.sender.finish()
        #expect(try stream.end() == nil)
        #expect(stream.sink.state.withLock { $0.bytes } == 0)
        #expect(stream.receiver.bytesReceived == stream.sender.counters.wireBytes + stream.sender.counters.warmBytes)
    }
}
