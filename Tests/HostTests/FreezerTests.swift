import Glibc
import Host
import Testing

/// Freezing real groups: cgroup.freeze, and the v1 controller where a host has only that.
@Suite(.serialized, .tags(.root)) struct FreezerTests {
    @Test(arguments: [Cgroup.Version.v2, .v1])
    func `a group that forks and spins stands still at once and goes on, as often as it is asked`(_ version: Cgroup.Version)
        throws
    {
        let group = try TestGroup(version)
        defer { group.remove() }
        try group.startBusy()
        let freezer = try CgroupFreezer(group.cgroup)
        for _ in 0..<20 {
            try freezer.freeze()
            #expect(try freezer.isFrozen())
            let count = try group.count, time = try group.processorTime
            sleepThread(.milliseconds(5))  // nothing is waited for: nothing may happen
            #expect(try group.count == count)
            #expect(try group.processorTime == time)
            try freezer.thaw()
            #expect(try !freezer.isFrozen())
            try group.waitForProgress(beyond: count)
        }
    }

    @Test(arguments: [Cgroup.Version.v2, .v1])
    func `groups below are frozen too`(_ version: Cgroup.Version) throws {
        let outer = try TestGroup(version)
        defer { outer.remove() }
        let inner = try TestGroup(version, inside: outer)
        defer { inner.remove() }
        try outer.startBusy()
        try inner.startBusy()
        #expect(try Set(outer.cgroup.processes()).isSuperset(of: inner.cgroup.processes()))
        let freezer = try CgroupFreezer(outer.cgroup)
        try freezer.freeze()
        let before = try (outer.count, inner.count)
        sleepThread(.milliseconds(20))
        #expect(try (outer.count, inner.count) == before)
        try freezer.thaw()
        try inner.waitForProgress(beyond: before.1)
        try outer.waitForProgress(beyond: before.0)
    }

    @Test(arguments: [Cgroup.Version.v2, .v1])
    func `a frozen group is killed to the last process`(_ version: Cgroup.Version) throws {
        let group = try TestGroup(version)
        defer { group.remove() }
        try group.startBusy()
        let freezer = try CgroupFreezer(group.cgroup)
        try freezer.freeze()
        try freezer.kill()
        #expect(try group.cgroup.processes().allSatisfy { try ProcFS.liveThread(of: $0) == nil })
    }

    @Test func `a frozen group is removed with those below it as soon as its last task has left`() throws {
        let group = try TestGroup(.v2)
        defer { group.remove() }
        _ = try TestGroup(.v2, inside: group)
        try group.startBusy()
        let population = try CgroupPopulation(of: group.cgroup)
        #expect(try !population.isEmpty())
        try CgroupFreezer(group.cgroup).freeze()
        try FileIO.writeValue("1", to: "\(group.cgroup.path)/cgroup.kill")
        try group.cgroup.remove()
        #expect(!group.cgroup.exists)
        #expect(try population.isEmpty())
    }

    @Test func `a group that somebody is in is not removed, and the error says who`() throws {
        let group = try TestGroup(.v2)
        defer { group.remove() }
        try group.startBusy()
        let error = #expect(throws: SystemError.self) { try group.cgroup.remove(within: .milliseconds(50)) }
        #expect(error?.errno == EBUSY && error?.hint?.contains("processes in it") == true)
    }

    @Test func `a freeze that doesn't come about says so in time`() throws {
        // Files that look like a group whose tasks don't freeze.
        let folder = "/tmp/martlet-freezer-\(getpid())-stubborn"
        let files = [("cgroup.controllers", ""), ("cgroup.events", "populated 1\nfrozen 0\n"), ("cgroup.freeze", "0\n")]
        mkdir(folder, 0o755)
        for (name, text) in files { try FileIO.writeAtomically(Array(text.utf8), to: "\(folder)/\(name)") }
        defer {
            for (name, _) in files { unlink("\(folder)/\(name)") }
            rmdir(folder)
        }
        let freezer = try CgroupFreezer(path: folder)
        let start = MonotonicInstant.now
        let error = #expect(throws: SystemError.self) { try freezer.freeze(within: .milliseconds(50)) }
        #expect(error?.errno == ETIMEDOUT && "\(error!)".contains("uninterruptible"))
        #expect(start.elapsed >= .milliseconds(50) && start.elapsed < .seconds(5))
        try freezer.thaw()
    }

    @Test func `a process outside of every v2 group is frozen by its v1 group`() throws {
        let group = try TestGroup(.v1)
        defer { group.remove() }
        try group.startBusy()
        let pid = try #require(try group.cgroup.processes().first)
        if let unified = try Cgroup.unifiedMountPoint() { try FileIO.writeValue("\(pid)", to: "\(unified)/cgroup.procs") }
        #expect(try Cgroup.freezable(of: pid) == group.cgroup)
        #expect(group.cgroup.version == .v1)
    }
}

/// A group of its own in either hierarchy; the v1 freezer is mounted if nobody has.
private final class TestGroup {
    let cgroup: Cgroup
    private var mounted: String?
    private let counter: String
    private var victim: Victim?
    nonisolated(unsafe) private static var number = 0  // SAFETY: the suite is serialized

    init(_ version: Cgroup.Version, inside outer: TestGroup? = nil) throws {
        TestGroup.number += 1
        let name = "martlet-freezer-\(getpid())-\(TestGroup.number)"
        counter = "/tmp/\(name)"
        let root: String
        if let outer {
            root = outer.cgroup.path
        } else if version == .v2 {
            root = try #require(try Cgroup.unifiedMountPoint(), "a cgroup2 mount is needed")
        } else if let mount = try MountInfo.ofSelf().first(where: { $0.type == "cgroup" && $0.superOptions.contains("freezer") })
        {
            root = mount.mountPoint
        } else {
            root = "/tmp/\(name)-mount"
            mkdir(root, 0o755)
            try #require(try Spawn.run("mount", ["-t", "cgroup", "-o", "freezer", "none", root]).status.isSuccess)
            mounted = root
        }
        try #require(mkdir("\(root)/\(name)", 0o755) == 0)
        cgroup = Cgroup(path: "\(root)/\(name)")
    }

    /// A shell that counts into a file by starting programs, and a child of it that only spins.
    func startBusy() throws {
        victim = try Victim.startProgram(
            "/bin/sh",
            [
                "-c",
                """
                echo $$ > \(cgroup.path)/cgroup.procs; i=0; echo $i > \(counter); echo ready
                (while :; do :; done) &
                while :; do i=$((i+1)); echo $i > \(counter).new; mv \(counter).new \(counter); done
                """,
            ])
    }

    var count: Int {
        get throws { Int(try FileIO.readLine(counter)) ?? 0 }
    }

    /// User and system time of all processes, in ticks.
    var processorTime: UInt64 {
        get throws {
            try cgroup.processes().reduce(0) { sum, pid in
                // Behind the name, which may hold blanks: state is field 3, utime 14, stime 15.
                let fields = try FileIO.readLine("/proc/\(pid)/stat").split(separator: ")").last!.split(separator: " ")
                return sum + UInt64(fields[11])! + UInt64(fields[12])!
            }
        }
    }

    func waitForProgress(beyond old: Int) throws {
        let deadline = MonotonicInstant.now + .seconds(20)
        while try count <= old {
            try #require(deadline.remaining > .zero, "nothing went on in \(cgroup.path)")
            sleepThread(.milliseconds(1))
        }
    }

    func remove() {
        try? CgroupFreezer(cgroup).kill()
        victim?.end()
        let deadline = MonotonicInstant.now + .seconds(5)
        while rmdir(cgroup.path) != 0, errno == EBUSY, deadline.remaining > .zero { sleepThread(.milliseconds(2)) }
        for file in [counter, "\(counter).new"] { unlink(file) }
        if let mounted {
            umount2(mounted, 0)
            rmdir(mounted)
        }
    }
}
