import Glibc
import Host
import Model
import Pages

/// `TrackerProbe kinds` — what this kernel can do.
/// `TrackerProbe hold PID` — tracks one process and waits to be killed.
/// `TrackerProbe watch PID [ROUNDS] [KIND]` — prints what each round finds, with times.
/// `TrackerProbe torture PROGRAM CGROUPS MODE KIND` — follows the torture program; PASS or FAIL.
func runProbe(_ arguments: [String]) -> Int32 {
    do {
        switch arguments.dropFirst().first {
        case "kinds":
            for support in TrackerKind.probeAll() { print("\(support.kind.rawValue): \(support.obstacle ?? "available")") }
        case "hold": try hold(Int32(arguments[2]) ?? 0)
        case "watch":
            try watch(
                Int32(arguments[2]) ?? 0, rounds: arguments.count > 3 ? Int(arguments[3]) ?? 5 : 5,
                kind: arguments.count > 4 ? TrackerKind(rawValue: arguments[4]) ?? .best() : .best())
        case "torture":
            let passed = try torture(
                arguments[4], TrackerKind(rawValue: arguments[5]) ?? .best(), program: arguments[2], cgroups: arguments[3])
            return passed ? 0 : 1
        default:
            print("usage: TrackerProbe kinds | hold PID | watch PID [ROUNDS] [KIND] | torture PROGRAM CGROUPS MODE KIND")
            return 2
        }
        return 0
    } catch {
        print("TrackerProbe: \(error)")
        return 1
    }
}

private func hold(_ pid: Int32) throws {
    let tracker = try ContainerTracker(kind: .best(), scope: .privateMemory) { () throws(SystemError) in [pid] }
    _ = try tracker.round()
    print("ready")
    fflush(nil)
    withExtendedLifetime(tracker) { while true { pause() } }
}

private func watch(_ pid: Int32, rounds: Int, kind: TrackerKind) throws {
    let tracker = try ContainerTracker(kind: kind) { () throws(SystemError) in [pid] }
    let size = 4 << 20
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: pageSize)
    defer { buffer.deallocate() }
    for _ in 0..<rounds {
        let round = try tracker.round()
        let start = MonotonicInstant.now
        var vanished: [PageRun] = []
        for space in round.spaces {
            var batches = RunBatches(space.dirty, maximumBytes: size), batch: [PageRun] = []
            while batches.next(into: &batch) > 0 {
                try space.memory.read(batch, into: buffer, vanished: &vanished)
                tracker.recordSent(space.space, batch, UnsafeRawBufferPointer(buffer))
            }
        }
        let read = start.elapsed
        print(
            "round \(round.number): \(round.pageCount.rawValue) pages, scan \(round.duration.inMilliseconds) ms, stop \(round.longestStop.inMilliseconds) ms, read \(read.inMilliseconds) ms, vanished \(vanished.count) \(round.spaces.first?.untracked ?? "")"
        )
        sleepThread(.milliseconds(300))
    }
    let start = MonotonicInstant.now
    tracker.detach()
    print("detach \(start.elapsed.inMilliseconds) ms")
}
