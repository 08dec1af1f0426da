import Glibc
import Host
import Model
import Synchronization
import Testing

@Suite struct BasicsTests {
    @Test func `an error says what was tried, on what, and what the kernel said`() {
        let error = SystemError(call: "open", subject: "/x", errno: ENOENT, hint: "create it")
        #expect("\(error)" == "open on /x: No such file or directory (errno 2); create it")
    }

    @Test func `a descriptor is closed with its owner and kept by a duplicate`() throws {
        let number: Int32
        let copy: OwnedDescriptor
        do {
            let owner = try OwnedDescriptor(opening: "/dev/null", flags: O_RDONLY)
            number = owner.raw
            copy = try owner.duplicate()
            try owner.close()
        }
        #expect(copy.raw != number)
        #expect(fcntl(copy.raw, F_GETFD) & FD_CLOEXEC != 0)
    }

    @Test func `events come out of a mailbox in order, and a deadline ends the wait`() throws {
        let box = Mailbox<Int>()
        let sender = try Thread(named: "sender") { for i in 0..<3000 { box.post(i) } }
        for i in 0..<3000 { #expect(box.next(deadline: .now + .seconds(10)) == i) }
        sender.join()
        let start = MonotonicInstant.now
        #expect(box.next(deadline: .now + .milliseconds(20)) == nil)
        #expect(start.elapsed >= .milliseconds(20))
    }

    @Test func `a folder's watch tells what was written, once it is closed`() throws {
        let folder = "/tmp/martlet-watch-\(getpid())"
        mkdir(folder, 0o700)
        defer {
            for name in ["a", "b"] { unlink("\(folder)/\(name)") }
            rmdir(folder)
        }
        let watch = try FolderWatch(folder: folder)
        #expect(watch.take() == [])
        close(creat("\(folder)/a", 0o600))
        let open = try OwnedDescriptor(opening: "\(folder)/b", flags: O_WRONLY | O_CREAT, mode: 0o600)
        #expect(watch.take() == ["a"], "b is still open, and a was told once")
        try open.close()
        #expect(try !Poll.wait(watch.descriptor, for: .input, until: .now + .seconds(5)).isEmpty)
        #expect(watch.take() == ["b"])
    }

    @Test func `a thread bears its name and runs once`() throws {
        let name = try Thread.run(named: "a-name-too-long-for-the-kernel") {
            (try? FileIO.readLine("/proc/thread-self/comm")) ?? ""
        }
        #expect(name == "a-name-too-long")
    }

    @Test func `a program's outputs are collected and cut at the limit`() throws {
        let run = try Spawn.run("sh", ["-c", "echo out; echo err >&2; exit 3"])
        #expect(run.status == .exited(3))
        #expect(run.outputText == "out\n" && run.errorText == "err\n")
        let long = try Spawn.run("head", ["-c", "300000", "/dev/zero"], limit: 1000)
        #expect(long.output.count == 1000 && long.truncated && long.status.isSuccess)
    }

    @Test func `a program that takes too long is killed`() throws {
        let run = try Spawn.run("sleep", ["60"], timeout: .milliseconds(100))
        #expect(run.timedOut)
        #expect(run.status == .signaled(SIGKILL))
    }

    @Test func `a program that isn't there is told by name`() {
        #expect(throws: SystemError.self) { try Spawn.run("/nonexistent/program") }
    }

    @Test func `a child gets the descriptors it is meant to have and no others`() throws {
        // without close-on-exec
        let extra = try OwnedDescriptor(opening: "/etc/hostname", flags: O_RDONLY), leak = dup(extra.raw)
        defer { close(leak) }
        let output = try Pipe()
        // 5 and 1 crossed on purpose: mapping one must not overwrite the source of the other.
        var spawn = Spawn("ls", ["-l", "/proc/self/fd"])
        spawn.descriptors = [1: output.write.raw, 5: extra.raw]
        let child = try spawn.start()
        let end = output.closeWriteEnd()
        #expect(try child.wait(until: .now + .seconds(10)) == .exited(0))
        var text = [UInt8](repeating: 0, count: 8192)
        let n = read(end.raw, &text, text.count)
        let lines = String(decoding: text[..<n], as: UTF8.self).split(separator: "\n").filter { $0.contains(" -> ") }
        let numbers = lines.compactMap { line in line.split(separator: " ").dropLast(2).last.flatMap { Int($0) } }
        #expect(numbers.sorted() == [0, 1, 2, 3, 5])  // 3 is the folder that ls reads
        withExtendedLifetime(extra) {}
    }

    @Test(arguments: [UnixSocket.Kind.stream, .messages]) func `descriptors travel over a socket`(_ kind: UnixSocket.Kind) throws
    {
        let path = "/tmp/martlet-host-socket-\(getpid())-\(kind)"
        unlink(path)
        defer { unlink(path) }
        let listener = try UnixSocket.listen(at: path, kind)
        let client = try UnixSocket.connect(to: path, kind)
        guard let server = try listener.accept(until: .now + .seconds(5)) else {
            Issue.record("nobody connected")
            return
        }
        let file = try OwnedDescriptor(opening: "/etc/hostname", flags: O_RDONLY)
        try client.send([1, 2, 3], descriptors: [file.raw, file.raw])
        var buffer = [UInt8](repeating: 0, count: 16)
        var received = try server.receive(into: &buffer, maximumDescriptors: 4)
        #expect(received.count == 3)
        #expect(received.descriptors.count == 2)
        guard let first = received.descriptors.takeFirst() else { return }
        #expect(try FileIO.readLink("/proc/self/fd/\(first.raw)") == "/etc/hostname")
        #expect(try server.peer().pid == getpid())
        withExtendedLifetime(file) {}
    }

    @Test func `more descriptors than there is room for are refused`() throws {
        let pair = try UnixSocket.pair(.messages)
        let file = try OwnedDescriptor(opening: "/dev/null", flags: O_RDONLY)
        try pair.first.send([1], descriptors: [file.raw, file.raw, file.raw])
        var buffer = [UInt8](repeating: 0, count: 4)
        #expect(throws: SystemError.self) { _ = try pair.second.receive(into: &buffer, maximumDescriptors: 1).count }
        withExtendedLifetime(file) {}
    }

    @Test func `a file written atomically holds the new content and leaves nothing beside it`() throws {
        let path = "/tmp/martlet-host-atomic-\(getpid())"
        defer { unlink(path) }
        try FileIO.writeAtomically(Array("one".utf8), to: path)
        try FileIO.writeAtomically(Array("two".utf8), to: path)
        #expect(try FileIO.readLine(path) == "two")
        #expect(!FileIO.exists(path + ".new"))
    }

    @Test func `memory is read in runs, and pages that are gone are told`() throws {
        let base = mmap(nil, 16 * pageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        defer { munmap(base, 16 * pageSize) }
        for i in 0..<16 { memset(base + i * pageSize, Int32(i + 1), pageSize) }
        munmap(base + 3 * pageSize, pageSize)  // a hole
        mprotect(base + 5 * pageSize, pageSize, PROT_NONE)  // unreadable for process_vm_readv
        let start = UInt64(UInt(bitPattern: base))
        let memory = try RemoteMemory(thread: getpid())
        let runs = [PageRun(start: start, count: 8), PageRun(start: start + UInt64(10 * pageSize), count: 2)]
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 10 * pageSize, alignment: pageSize)
        defer { buffer.deallocate() }
        var vanished: [PageRun] = []
        #expect(try memory.read(runs, into: buffer, vanished: &vanished) == 9)
        #expect(vanished == [PageRun(start: start + UInt64(3 * pageSize), count: 1)])
        #expect((0..<10).map { buffer[$0 * pageSize] } == [1, 2, 3, 0, 5, 6, 7, 8, 11, 12])
    }

    @Test func `thousands of scattered pages are read in few calls`() throws {
        let count = 5000
        let base = mmap(nil, 2 * count * pageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        defer { munmap(base, 2 * count * pageSize) }
        for i in 0..<count { (base + 2 * i * pageSize).storeBytes(of: UInt32(i), as: UInt32.self) }
        let start = UInt64(UInt(bitPattern: base))
        let runs = (0..<count).map { PageRun(start: start + UInt64(2 * $0 * pageSize), count: 1) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count * pageSize, alignment: pageSize)
        defer { buffer.deallocate() }
        var vanished: [PageRun] = []
        #expect(try RemoteMemory(thread: getpid()).read(runs, into: buffer, vanished: &vanished) == count)
        #expect((0..<count).allSatisfy { buffer.load(fromByteOffset: $0 * pageSize, as: UInt32.self) == UInt32($0) })
    }

    @Test func `another network namespace is entered on a thread of its own`() throws {
        let here = try Namespaces.identity("net", of: getpid())
        let there = try Thread.run(named: "net") { () -> String in
            guard (try? Namespaces.unshare(.network)) != nil else { return "" }
            return (try? FileIO.readLink("/proc/thread-self/ns/net")) ?? ""
        }
        #expect(there != here && !there.isEmpty)
        #expect(try Namespaces.identity("net", of: getpid()) == here)
        let inside = try Namespaces.run(in: ["net", "mnt"], of: getpid()) { () throws(SystemError) in
            try FileIO.readLink("/proc/thread-self/ns/net")
        }
        #expect(inside == here)
    }
}
