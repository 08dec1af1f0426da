import FoundationEssentials
import Glibc
import Testing

@testable import Containers
@testable import Host
import Model

func documentationText() throws -> String {
    let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
    return String(decoding: try FileIO.read("/\(root)/docs/preflight.md"), as: UTF8.self)
}

@Suite("Gathering facts", .tags(.root), .serialized)
struct ProbeTests {
    /// A python program that prepares something, says so, and waits to be killed.
    private func program(_ script: String, _ body: (Int32) throws -> Void) throws {
        let pipe = try Pipe()
        var spawn = Spawn("python3", ["-c", "import os,socket,sys,time,signal\n\(script)\nos.write(1,b'.')\nsignal.pause()"])
        spawn.descriptors = [1: pipe.write.raw, 2: 2]
        let child = try spawn.start()
        defer {
            _ = try? child.kill(SIGKILL)
            _ = try? child.wait()
        }
        let end = pipe.closeWriteEnd()
        var byte: UInt8 = 0
        try #require(read(end.raw, &byte, 1) == 1, "the program failed")
        try body(child.pid)
    }

    @Test func `descriptors and sockets of a process are told apart`() throws {
        let space = try Workspace("probe")
        try program(
            """
            import select
            e=select.epoll(); t=open('\(space.at("gone"))','w+'); t.write('x'*5000); t.flush(); os.unlink('\(space.at("gone"))')
            z=open('/dev/zero'); p=socket.socket(socket.AF_PACKET,socket.SOCK_RAW); n=socket.socket(socket.AF_NETLINK,socket.SOCK_RAW); u=socket.socketpair()
            l=socket.create_server(('127.0.0.1',0)); c=socket.create_connection(l.getsockname()); a,_=l.accept(); d=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); d.bind(('127.0.0.1',0))
            """
        ) { pid in
            let probe = try ProcessProbe(pid: pid)
            #expect(probe.facts.command == "python3" && !probe.facts.is32Bit && probe.facts.tracer == 0)
            #expect(probe.facts.anonymousInodes == ["eventpoll": 1])
            #expect(probe.facts.deletedFiles == [.init(path: space.at("gone"), size: ByteCount(5000))])
            #expect(Set(probe.facts.devices).subtracting(["/dev/null"]) == ["/dev/zero"])
            #expect(probe.facts.otherSockets == ["PACKET"])
            #expect(probe.memory > .mebibytes(1) && probe.memory < .gibibytes(1))
            let sockets = SocketProbe.gather(pid: pid, inodes: probe.sockets)
            #expect(
                sockets.bound.filter { $0.transport == .tcp }.count == 1
                    && sockets.bound.filter { $0.transport == .udp }.count == 1)
            #expect(sockets.connections.count == 2 && sockets.connections.allSatisfy { $0.peer.address == "127.0.0.1" })
            #expect(try SocketProbe.outsideUnix(pid: pid, inodes: probe.sockets).isEmpty, "both ends of the pair are its own")
        }
    }

    @Test func `a number behind which the file changes all the time never shows one file's name and another's kind`() throws {
        let space = try Workspace("flip")
        try program(
            """
            import threading
            f=open('\(space.at("log"))','w+'); z=open('/dev/full')
            def flip():
                while True: os.dup2(f.fileno(), 9); os.dup2(z.fileno(), 9)
            os.dup2(f.fileno(), 9); threading.Thread(target=flip, daemon=True).start()
            """
        ) { pid in
            var seen: Set<String> = []
            for _ in 0..<2000 {
                let look = try #require(try OpenDescriptor.look(9, of: pid))
                seen.insert(look.target)
                try #require((look.target == "/dev/full") == (look.kind == S_IFCHR), "\(look)")
            }
            #expect(seen == ["/dev/full", space.at("log")])
            for _ in 0..<300 {
                let devices = Set(try ProcessProbe(pid: pid).facts.devices)
                try #require(devices.subtracting(["/dev/null"]) == ["/dev/full"], "\(devices)")
            }
        }
    }

    @Test func `io_uring is found`() throws {
        try program(
            """
            import ctypes
            p=ctypes.create_string_buffer(120); fd=ctypes.CDLL(None).syscall(425,4,p)
            assert fd>=0
            """
        ) { pid in
            let probe = try ProcessProbe(pid: pid)
            #expect(probe.facts.anonymousInodes["io_uring"] == 1)
        }
    }

    @Test func `a Unix socket that leads outside is found by its peer`() throws {
        let space = try Workspace("unix")
        let listener = try UnixSocket.listen(at: space.at("log"), .stream)
        try program("s=socket.socket(socket.AF_UNIX); s.connect('\(space.at("log"))')") { pid in
            guard let accepted = try listener.accept(until: .now + .seconds(5)) else {
                Issue.record("nobody connected")
                return
            }
            let probe = try ProcessProbe(pid: pid)
            let outside = try SocketProbe.outsideUnix(pid: pid, inodes: probe.sockets)
            #expect(outside.map(\.name) == [space.at("log")])
            _ = accepted.descriptor.raw
        }
    }

    @Test func `rows of the kernel's tables are read`() {
        let rows = SocketProbe.rows(
            """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0
               1: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 7 1
               broken
            """)
        #expect(rows.map(\.local.address) == ["127.0.0.1", "2001:db8::1"] && rows.map(\.local.port) == [8080, 80])
        #expect(rows.map(\.inode) == [12345, 7] && rows.map(\.state) == [10, 1])
    }

    @Test func `truncated answers of sock_diag are refused`() {
        var found: [UnixDiagnosis.Socket] = []
        #expect(throws: SystemError.self) {
            _ = try UnixDiagnosis.parse([200, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][...], &found)
        }
        #expect(throws: SystemError.self) {
            _ = try UnixDiagnosis.parse([0, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][...], &found)
        }
        #expect(found.isEmpty)
    }

    @Test func `this host is described`() throws {
        let facts = try HostFacts.gather(name: "here")
        #expect(facts.architecture == "x86_64" && facts.kernel > DottedVersion(5, 0))
        #expect(facts.processorFlags.contains("sse2") && !facts.processorModel.isEmpty)
        #expect(facts.programs.isSuperset(of: [.rsync, .ip, .nsenter]))
        #expect(facts.features.contains(.userfaultfd))
    }

    @Test func `a container is described without touching it, and its facts survive the wire`() throws {
        let space = try Workspace("facts")
        try space.shell("mkdir -p bundle/rootfs volume; echo c > bundle/config.json; echo x > bundle/rootfs/file")
        let group = "/sys/fs/cgroup/unified/mf-\(getpid())-\(UInt16.random(in: 0 ... .max))"
        let root = FileIO.exists("/sys/fs/cgroup/cgroup.procs") ? group.replacing("/unified", with: "") : group
        try space.shell("mkdir -p \(root)/inner")
        defer { _ = try? Spawn.run("rmdir", ["\(root)/inner", root]) }
        try program("s=socket.create_server(('127.0.0.1',0))") { pid in
            try FileIO.writeValue("\(pid)", to: "\(root)/cgroup.procs")
            try program("pass") { guest in
                try FileIO.writeValue("\(guest)", to: "\(root)/inner/cgroup.procs")
                let outline = ContainerOutline(
                    id: "x", state: .running, initPID: pid, terminal: false, bundle: space.at("bundle"),
                    rootfs: space.at("bundle/rootfs"),
                    binds: [], volumes: [space.at("volume")], networkPath: nil, cgroup: root)
                let facts = try ContainerFacts.gather(outline)
                #expect(facts.trees.map(\.path) == [space.at("bundle"), space.at("volume")])
                #expect(facts.trees[0].entries == 4 && facts.trees[0].bytes > .zero)
                #expect(Set(facts.processes.map(\.pid)) == [pid, guest] && facts.guests.map(\.pid) == [guest])
                #expect(
                    facts.nestedGroups == 1 && facts.network == .host && facts.sharesProcessIDs && facts.memory > .mebibytes(1))
                #expect(facts.sockets.bound.count == 1)
                let again = try JSONDecoder().decode(ContainerFacts.self, from: JSONEncoder().encode(facts))
                #expect(again == facts)

                let host = try HostFacts.gather(name: "here")
                let question = facts.question(wishes: PreflightWishes())
                let answer = try DestinationFacts.gather(
                    question,
                    DestinationOutline(
                        host: host, containers: ["x"], users: [space.at("bundle"): "x"], configuration: Array("c\n".utf8)),
                    keeper: BundleKeeper(records: space.at("records")))
                #expect(answer.idTaken && answer.usedPorts.contains(facts.sockets.bound[0]))
                #expect(
                    answer.places[space.at("bundle")] == .refuse(.usedBy("x")) && answer.places[space.at("volume")] == .create)
                let found = Preflight(source: host, container: facts, destination: answer, wishes: PreflightWishes()).findings()
                    .map(\.code)
                #expect(Set(found).isSuperset(of: ["id-taken", "bundle-taken", "port-taken", "exec-session", "nested-cgroups"]))
            }
        }
    }
}
