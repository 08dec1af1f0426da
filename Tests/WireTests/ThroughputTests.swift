import Glibc
import Host
import Model
import Testing

@testable import Wire

/// Counts and forgets, so that the figure is the transport's.
private final class Drain: FrameSink {
    func pages(space: SpaceID, address: UInt64, bytes: UnsafeRawBufferPointer) {}
    func zero(space: SpaceID, run: PageRun) {}
    func stale(space: SpaceID, run: PageRun) {}
    func held(space: SpaceID, address: UInt64, marks: UnsafeRawBufferPointer) {}
    func live(space: SpaceID, runs: [PageRun]) {}
    func blob(id: UInt32, offset: UInt64, bytes: UnsafeRawBufferPointer) {}
    func packet(interface: Int, bytes: UnsafeRawBufferPointer) {}
    func mark(token: UInt64) {}
    func end() {}
}

private func processorTime() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
}

@Suite(.serialized) struct ThroughputTests {
    /// Prints what it costs: the prototype needed .5 + .4 CPU seconds a GB, this alone .8; other tests run in the same process.
    @Test(.tags(.slow), arguments: [true, false])
    func `a gigabyte goes through`(secure: Bool) throws {
        let stream = try Stream(secure: secure, sink: Drain())
        let content = [UInt8](repeating: 0x5a, count: 8 << 20)
        let before = processorTime()
        let began = MonotonicInstant.now
        for piece in 0..<128 {
            try content.withUnsafeBytes { try stream.sender.pages(space: SpaceID(1), address: UInt64(piece) << 23, bytes: $0) }
        }
        try stream.sender.finish()
        #expect(try stream.end() == nil)
        let gigabytes = Double(128 * content.count) / 1e9
        let cost = (processorTime() - before).inSeconds / gigabytes
        print("secure \(secure): \(gigabytes / began.elapsed.inSeconds) GB/s, \(cost) CPU s/GB for both sides")
    }
}
