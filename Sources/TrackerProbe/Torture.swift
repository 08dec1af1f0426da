import Glibc
import Host
import Model
import Pages

/// Follows the torture program (Tests/Support/torture.c) in a cgroup of its own and compares every copy at the end, as the tests
/// do: for kernels on which the tests can't be built.
/// - Parameter cgroups: mount point of cgroup2.
func torture(_ mode: String, _ kind: TrackerKind, program: String, cgroups: String) throws -> Bool {
    let path = "\(cgroups)/martlet-probe-\(getpid())-\(mode)"
    guard mkdir(path, 0o755) == 0 else { throw SystemError(call: "mkdir", subject: path, errno: errno) }
    defer { rmdir(path) }
    let cgroup = Cgroup(path: path)
    let freezer = try CgroupFreezer(cgroup)
    let child = try start(program, mode, cgroup)
    defer {
        _ = try? freezer.thaw()
        _ = try? freezer.kill()
        _ = try? child.wait(until: .now + .seconds(5))
    }
    let scope = TrackerScope.privateMemory
    let tracker = try ContainerTracker(kind: kind, scope: scope) { () throws(SystemError) in try cgroup.processes() }
    let shadow = Shadow()
    let end = MonotonicInstant.now + .seconds(1)
    var rounds = 0
    while rounds < 4 || end.remaining > .zero {
        try shadow.feed(try tracker.round(), tracker)
        rounds += 1
        sleepThread(.milliseconds(20))
    }
    try freezer.freeze(within: .seconds(20))
    let last = try tracker.finalRound()
    try shadow.feed(last, tracker)
    let report = try shadow.compare(try tracker.livePages(), tracker, scope)
    let passed = report.problems.isEmpty && report.pages > 0
    print(
        "\(passed ? "PASS" : "FAIL") \(kind.rawValue) \(mode): \(rounds) rounds, \(shadow.pagesRead) pages read, final \(last.pageCount.rawValue), live \(report.pages) \(report.problems)"
    )
    fflush(nil)
    return passed
}

private func start(_ program: String, _ mode: String, _ cgroup: Cgroup) throws -> ChildProcess {
    let input = try Pipe(), output = try Pipe()
    var spawn = Spawn(program, [mode])
    spawn.descriptors = [0: input.read.raw, 1: output.write.raw, 2: 2]
    let child = try spawn.start()
    try FileIO.writeValue("\(child.pid)", to: "\(cgroup.path)/cgroup.procs")
    let go = input.closeReadEnd()
    try FileIO.writeAll([1].span.bytes, to: go.raw, name: "input")
    let said = output.closeWriteEnd()
    guard try !Poll.wait(said.raw, for: .input, until: .now + .seconds(30)).isEmpty else {
        throw SystemError(call: "start", subject: mode, errno: ETIMEDOUT)
    }
    return child
}
