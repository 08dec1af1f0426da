import Glibc
import Host
import Model
import Testing
@testable import Pages

/// Whose memory the pages are, for the kernel's control groups: the store's are the session's, a restored page is its process's.
@Suite(.tags(.root), .serialized, .enabled(if: MemoryGroup.isAvailable, "no memory controller in reach"))
struct MemoryLimitTests {
    @Test(arguments: [StoreKind.memory, .spill("/tmp")])
    func `a process is filled up within its own limit while the store beside it holds as much again`(_ kind: StoreKind) throws {
        let pages = 20_000  // 78 MB
        let group = try MemoryGroup(limit: .mebibytes(100))
        defer { group.remove() }
        let folder = Folder()
        let store = try PageStore(kind: kind, capacity: .gibibytes(1))
        try Stamp.land(store, process: 0, pages: pages, dense: true)
        let served = try Served(store, folder, processes: 1)
        let client = try Program(
            "/bin/sh",
            [
                "-c", "echo $$ >\(group.path)/cgroup.procs && exec env DENSE=1 \"$@\"", "sh", Programs.lazyClient.get(),
                folder.path, "plain",
                "\(pages)", "1", "1",
            ])
        try served.untilFinished()
        #expect(client.line() == "ready")
        // The whole fill first: then store and process hold the most between them that they ever do.
        served.server.startFill()
        _ = try served.untilFilled()
        let used = try group.used
        #expect(used > .mebibytes(75) && used < .mebibytes(100), "\(used.rawValue >> 20) MB")
        client.tell("go")
        #expect(client.lines(until: "ok").last == "ok")
        #expect(try client.end() == .exited(0))
        #expect(try group.kills == 0)
    }
}

/// A group with a memory limit, in whichever hierarchy has the controller.
private struct MemoryGroup {
    let path: String
    private let isUnified: Bool

    private static let mount: (path: String, isUnified: Bool)? = {
        guard let mounts = try? MountInfo.ofSelf() else { return nil }
        if let unified = mounts.first(where: { $0.type == "cgroup2" })?.mountPoint,
            let controllers = try? FileIO.readLine("\(unified)/cgroup.subtree_control"),
            controllers.split(separator: " ").contains("memory")
        {
            return (unified, true)
        }
        let old = mounts.first { $0.type == "cgroup" && $0.superOptions.contains("memory") }
        return old.map { ($0.mountPoint, false) }
    }()
    static var isAvailable: Bool { mount != nil && getuid() == 0 }

    init(limit: ByteCount) throws {
        let mount = try #require(MemoryGroup.mount)
        isUnified = mount.isUnified
        path = "\(mount.path)/martlet-memory-test-\(getpid())-\(MonotonicInstant.now.nanoseconds)"
        try #require(mkdir(path, 0o755) == 0)
        try FileIO.writeValue("\(limit.rawValue)", to: "\(path)/\(isUnified ? "memory.max" : "memory.limit_in_bytes")")
    }

    var used: ByteCount {
        get throws {
            ByteCount(Int(try FileIO.readLine("\(path)/\(isUnified ? "memory.current" : "memory.usage_in_bytes")")) ?? 0)
        }
    }

    /// Processes that the kernel killed for the limit.
    var kills: Int {
        get throws {
            let lines = try FileIO.readLine("\(path)/\(isUnified ? "memory.events" : "memory.oom_control")").split(
                separator: "\n")
            return lines.first { $0.hasPrefix("oom_kill ") }.flatMap { Int($0.dropFirst(9)) } ?? 0
        }
    }

    func remove() {
        let deadline = MonotonicInstant.now + .seconds(5)
        while rmdir(path) != 0, errno == EBUSY, deadline.remaining > .zero { sleepThread(.milliseconds(2)) }
    }
}
