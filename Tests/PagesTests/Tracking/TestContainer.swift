import Glibc
import Host
import Synchronization
import Testing

/// A cgroup of its own with programs in it, killed and removed at the end.
final class TestContainer: Sendable {
    let cgroup: Cgroup
    let freezer: CgroupFreezer
    private let children = Mutex<[ChildProcess]>([])
    private static let counter = Atomic<Int>(0)

    init() throws {
        let root = try #require(try Cgroup.unifiedMountPoint(), "these tests need a cgroup2 mount")
        let number = TestContainer.counter.add(1, ordering: .relaxed).newValue
        let path = "\(root)/martlet-pages-test-\(getpid())-\(number)"
        try #require(mkdir(path, 0o755) == 0, "mkdir \(path)")
        cgroup = Cgroup(path: path)
        freezer = try CgroupFreezer(cgroup)
    }

    /// Starts the torture program and puts it into the group before it does anything.
    /// - Parameter confined: what it gives up first: `seccomp`, `nobody` (root) or `userns`.
    @discardableResult
    func start(_ mode: String, confined: String? = nil) throws -> ChildProcess {
        let input = try Pipe(), output = try Pipe()
        var spawn = Spawn(try TortureProgram.path.get(), [mode])
        spawn.descriptors = [0: input.read.raw, 1: output.write.raw, 2: 2]
        if let confined { spawn.environment = ["TORTURE_CONFINED=\(confined)"] }
        let child = try spawn.start()
        children.withLock { $0.append(child) }
        try FileIO.writeValue("\(child.pid)", to: "\(cgroup.path)/cgroup.procs")
        let go = input.closeReadEnd()
        try FileIO.writeAll([1].span.bytes, to: go.raw, name: "input")
        let said = output.closeWriteEnd()
        let answered = try Poll.wait(said.raw, for: .input, until: .now + .seconds(10))
        try #require(answered.contains(.input), "the torture program didn't start: \(mode)")
        return child
    }

    /// Those that ended by themselves, which the torture program does only when it finds its memory damaged.
    func ended() throws -> [Host.ExitStatus] {
        try children.withLock { list in try list.compactMap { try $0.wait(until: .now) } }
    }

    func remove() {
        _ = try? freezer.thaw()
        _ = try? freezer.kill()
        children.withLock { for child in $0 { _ = try? child.wait(until: .now + .seconds(5)) } }
        // Zombies that init has not reaped yet keep the group for a moment.
        let deadline = MonotonicInstant.now + .seconds(5)
        while rmdir(cgroup.path) != 0, errno == EBUSY, deadline.remaining > .zero { sleepThread(.milliseconds(2)) }
    }
}

/// Tests/Support/torture.c, compiled once.
enum TortureProgram {
    static let path: Result<String, any Error> = Result {
        let source = URLPath.support + "/torture.c"
        let target = "/tmp/martlet-pages-torture-\(getpid())"
        let run = try Spawn.run("cc", ["-O1", "-pthread", "-o", target, source])
        guard run.status.isSuccess else { throw SystemError(call: "cc", subject: run.errorText, errno: EINVAL) }
        atexit { unlink("/tmp/martlet-pages-torture-\(getpid())") }
        return target
    }
}

enum URLPath {
    /// The folder Tests/Support.
    static let support = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 } + "/Support"
}
