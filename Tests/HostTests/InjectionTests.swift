import Glibc
import Host
import Model
import Testing

/// A userfaultfd made inside a process that knows nothing of it.
@Suite(.serialized, .tags(.root)) struct InjectionTests {
    static let calls = [
        "epoll_wait", "epoll_wait_timeout", "epoll_pwait", "poll", "ppoll", "select", "nanosleep", "semop", "semtimedop",
        "sigtimedwait", "sigsuspend", "pause", "recv_timeout", "recv", "pipe_read", "eventfd_read", "futex", "msgrcv", "waitpid",
        "io_getevents", "spin",
    ]

    @Test(arguments: calls) func `a blocking call doesn't notice twenty injections`(_ call: String) throws {
        let child = try Victim.start("blocking", [call])
        defer { child.end() }
        for _ in 0..<20 {
            let result = try Injection.userfaultfd(in: child.pid)
            #expect(result.stop < .seconds(5))
            sleepThread(.milliseconds(1))  // so that the call is blocked again
        }
        #expect(try child.terminate() == .exited(0))
    }

    @Test(arguments: ["seccomp", "nobody", "userns"]) func `confined processes are no obstacle`(_ confinement: String) throws {
        let child = try Victim.start("blocking", [confinement])
        defer { child.end() }
        sleepThread(.milliseconds(20))  // the confinement is set up after "ready"
        for _ in 0..<5 {
            let result = try Injection.userfaultfd(in: child.pid)
            try result.userfaultfd.negotiate([.writeProtectFlag])
            sleepThread(.milliseconds(1))
        }
        #expect(try child.terminate() == .exited(0))
    }

    @Test func `a stopped process gets one too and stays stopped`() throws {
        let child = try Victim.start("blocking", ["nanosleep"])
        defer { child.end() }
        try child.process.kill(SIGSTOP)
        try child.waitForState(.stopped)
        _ = try Injection.userfaultfd(in: child.pid)
        // Letting go of a stopped task wakes it, and it stops again by itself: a moment in which it is neither.
        try child.waitForState(.stopped)
        try child.process.kill(SIGCONT)
        #expect(try child.terminate() == .exited(0))
    }

    @Test func `signals that arrive in the middle are delivered`() throws {
        let child = try Victim.start("blocking", ["spin"])
        defer { child.end() }
        for _ in 0..<20 {
            try child.process.kill(SIGCHLD)  // ignored by default, but it makes the thread stop on its way
            _ = try Injection.userfaultfd(in: child.pid)
        }
        #expect(try child.terminate() == .exited(0))
    }

    @Test func `no descriptor stays behind`() throws {
        let child = try Victim.start("blocking", ["epoll_wait"])
        defer { child.end() }
        let before = try ProcFS.descriptors(of: child.pid).map(\.number)
        _ = try Injection.userfaultfd(in: child.pid)
        #expect(try ProcFS.descriptors(of: child.pid).map(\.number) == before)
    }

    @Test func `a process that has ended is told apart`() throws {
        let child = try Victim.start("blocking", ["epoll_wait"])
        _ = try child.terminate()
        child.end()
        #expect(throws: InjectionError.gone(pid: child.pid)) { try Injection.userfaultfd(in: child.pid) }
    }

    @Test func `a frozen process is given up in time and goes on unharmed`() throws {
        let root = try #require(try Cgroup.unifiedMountPoint())
        let path = "\(root)/martlet-host-test-\(getpid())"
        try #require(mkdir(path, 0o755) == 0)
        defer { rmdir(path) }
        let child = try Victim.start("blocking", ["spin"])
        defer { child.end() }
        try FileIO.writeValue("\(child.pid)", to: "\(path)/cgroup.procs")
        let freezer = try CgroupFreezer(path: path)
        try freezer.freeze()
        #expect(try freezer.isFrozen())
        let start = MonotonicInstant.now
        #expect(throws: InjectionError.self) { try Injection.userfaultfd(in: child.pid, within: .milliseconds(100)) }
        #expect(start.elapsed < .seconds(3))
        try freezer.thaw()
        sleepThread(.milliseconds(50))  // time for its calculation to come out wrong
        #expect(try ProcessStatus.of(pid: child.pid).tracer == 0)
        #expect(try child.terminate() == .exited(0))
        #expect(try Cgroup(path: path).processes().filter { $0 == child.pid }.count <= 1)
    }

    @Test func `killing the tracker leaves the target running and untracked`() throws {
        let child = try Victim.start("blocking", ["spin"])
        defer { child.end() }
        let tracker = try Victim.startProbe(["hold", "\(child.pid)"])
        try tracker.process.kill(SIGKILL)
        _ = try tracker.process.wait()
        let flags = try AreaDetails.of(pid: child.pid).reduce(AreaFlags()) { $0.union($1.flags) }
        #expect(!flags.contains(.userfaultWriteProtect))
        #expect(try child.terminate() == .exited(0))
    }
}
