import Model
import Glibc
import Synchronization
import Testing

@testable import Containers
@testable import Host

/// A bridge with a client and a container's namespace, all with names of their own.
final class TestNetwork: Sendable {
    let tag = String(UInt32.random(in: 0x1000000 ... .max), radix: 16).suffix(6)
    var bridge: String { "mfb\(tag)" }
    var client: String { "mfc\(tag)" }
    var source: String { "mfs\(tag)" }
    var moved: String { "mfd\(tag)" }
    let mac = "02:00:00:00:0a:05"

    init() throws {
        try shell(
            """
            ip link add \(bridge) address 02:00:00:00:0a:fe type bridge; ip link set \(bridge) up
            ip netns add \(client); ip link add mfk\(tag) type veth peer name eth0 netns \(client)
            ip link set mfk\(tag) master \(bridge) up; ip -n \(client) addr add 10.199.7.1/24 dev eth0; ip -n \(client) addr add fd99::1/64 dev eth0 nodad; ip -n \(client) link set eth0 up
            ip netns add \(source); ip link add mfv\(tag) index $((RANDOM + 20000)) mtu 1400 type veth peer name eth0 index 4711 address \(mac) mtu 1400 netns \(source)
            ip link set mfv\(tag) master \(bridge) up; ip -n \(source) link set lo up
            ip -n \(source) addr add 10.199.7.5/24 brd 10.199.7.255 dev eth0; ip -n \(source) addr add fd99::5/64 dev eth0 nodad; ip -n \(source) link set eth0 up
            ip -n \(source) route add default via 10.199.7.1; ip -n \(source) route add 10.50.0.0/16 via 10.199.7.1 metric 50; ip -n \(source) -6 route add default via fd99::1
            ip -n \(source) neigh add 10.199.7.77 lladdr 02:00:00:00:0a:77 dev eth0 nud permanent
            ip netns exec \(source) sysctl -qw net.ipv4.ip_unprivileged_port_start=80
            """)
    }

    deinit {
        _ = try? Spawn.run(
            "/bin/bash",
            [
                "-c",
                """
                for n in \(client) \(source) \(moved); do ip netns delete $n; done
                for l in mfk\(tag) mfv\(tag) \(bridge); do ip link delete $l; done
                """,
            ])
    }

    @discardableResult
    func shell(_ script: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
        let run = try Spawn.run("/bin/bash", ["-euc", script])
        #expect(run.status == .exited(0), "\(run.errorText)", sourceLocation: sourceLocation)
        return run.outputText
    }

    func answers(_ address: String = "10.199.7.5") throws -> Bool {
        // No ping needed: a UDP probe is answered by ICMP "port unreachable", seen as "connection refused".
        let run = try Spawn.run(
            "ip",
            [
                "netns", "exec", client, "python3", "-c",
                """
                import socket,sys
                s=socket.socket(socket.AF_INET6 if ':' in '\(address)' else socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(0.4); s.connect(('\(address)',9))
                for i in range(3):
                    try: s.send(b'x'); s.recv(1)
                    except ConnectionRefusedError: sys.exit(0)
                    except (TimeoutError, OSError): pass
                sys.exit(1)
                """,
            ])
        return run.status == .exited(0)
    }

    func learnedPort() throws -> String {
        try shell(
            "bridge fdb show br \(bridge) | grep '^\(mac)' | grep -v permanent | sed 's/.*dev \\([^ ]*\\).*/\\1/' | head -1 || true"
        ).trimmingEnd
    }
}

extension String {
    fileprivate var trimmingEnd: String { String(reversed().drop { $0.isWhitespace }.reversed()) }
}

@Suite("A container's network moves", .tags(.root), .serialized)
struct NetworkMoveTests {
    private func describe(_ network: TestNetwork) throws -> NetworkDescription {
        try NetworkDescription.gather(path: "/run/netns/\(network.source)", settingNames: ["net.ipv4.ip_unprivileged_port_start"])
    }

    /// The same, to be made under another path of this one host.
    private func elsewhere(_ network: TestNetwork) throws -> NetworkDescription {
        var description = try describe(network)
        description.path = "/run/netns/\(network.moved)"
        return description
    }

    @Test func `everything is described`() throws {
        let network = try TestNetwork()
        let found = try describe(network)
        let eth0 = try #require(found.interfaces.first)
        #expect(found.interfaces.count == 1 && eth0.isSupported)
        #expect((eth0.name, eth0.index, eth0.mac, eth0.mtu) == ("eth0", 4711, network.mac, 1400))
        #expect(eth0.hostName == "mfv\(network.tag)" && eth0.bridge == network.bridge)
        #expect(Set(eth0.addresses.filter { !$0.isLinkLocal }.map(\.text)) == ["10.199.7.5", "fd99::5"])
        #expect(eth0.addresses.contains { $0.broadcast == "10.199.7.255" && $0.prefix == 24 })
        #expect(Set(found.routes.map(\.destination)) == ["default", "10.50.0.0/16"] && found.routes.count == 3)
        #expect(found.neighbours.contains { $0.address == "10.199.7.77" && $0.permanent })
        #expect(found.settings == ["net.ipv4.ip_unprivileged_port_start": "80"])
        #expect(found.extras.isEmpty)
    }

    @Test func `preparing the destination doesn't disturb the source`() throws {
        let network = try TestNetwork()
        #expect(try network.answers())
        #expect(try network.learnedPort() == "mfv\(network.tag)")
        let wanted = try elsewhere(network)
        let preparation = try NetworkPreparation(wanted)
        defer { try? NetworkPreparation.undo(preparation.made) }
        let deadline = MonotonicInstant.now + .seconds(2)  // the link watcher acts within one
        while MonotonicInstant.now < deadline {
            #expect(try network.learnedPort() == "mfv\(network.tag)", "the switch was told of the copy")
            #expect(try network.answers() && network.answers("fd99::5"))
        }
        let copy = try NetworkDescription.gather(
            path: "/run/netns/\(network.moved)", settingNames: ["net.ipv4.ip_unprivileged_port_start"])
        let original = try describe(network)
        let (a, b) = (original.interfaces[0], copy.interfaces[0])
        #expect((a.name, a.index, a.mac, a.mtu, a.bridge) == (b.name, b.index, b.mac, b.mtu, b.bridge))
        #expect(Set(a.addresses) == Set(b.addresses) && Set(original.routes) == Set(copy.routes))
        #expect(Set(copy.neighbours).isSuperset(of: wanted.neighbours) && original.settings == copy.settings)
    }

    @Test func `the address moves and comes back`() throws {
        let network = try TestNetwork()
        let cut = try NetworkCut(describe(network), keepsConnections: false)
        let preparation = try NetworkPreparation(elsewhere(network))
        defer { try? NetworkPreparation.undo(preparation.made) }
        let theirs = preparation.made.interfaces[0]
        #expect(try network.answers())

        let start = MonotonicInstant.now
        try cut.cut()
        let cutTime = start.elapsed
        try preparation.close()
        #expect(try !network.answers(), "nobody answers in between")

        let opening = MonotonicInstant.now
        try preparation.open()
        let openTime = opening.elapsed
        #expect(try network.learnedPort() == theirs, "the announcement taught the bridge")
        #expect(try network.answers() && network.answers("fd99::5"))
        print("cut \(cutTime.inMilliseconds) ms, open and announce \(openTime.inMilliseconds) ms")

        try preparation.close()
        try cut.uncut()
        #expect(try network.learnedPort() == "mfv\(network.tag)")
        #expect(try network.answers())
    }

    /// What comes while the container is cut off is given to it where it goes on, checksums still to be made included.
    @Test(arguments: [true, false]) func `what came meanwhile is not lost`(moves: Bool) throws {
        let network = try TestNetwork()
        let cut = try NetworkCut(describe(network), keepsConnections: true)
        let preparation = try NetworkPreparation(elsewhere(network))
        defer { try? NetworkPreparation.undo(preparation.made) }
        #expect(try network.answers())  // neighbours know each other

        #expect(try cut.hold().isEmpty)
        #expect(try cut.isEmpty())
        try cut.cut()
        let message = "came while nobody was there"
        try network.shell(
            "ip netns exec \(network.client) python3 -c \"import socket; socket.socket(socket.AF_INET,socket.SOCK_DGRAM).sendto(b'\(message)', ('10.199.7.5', 99))\""
        )
        // Whoever shall get it listens now; on the other side nobody would.
        let listener = try Spawn.run(
            "/bin/bash",
            [
                "-c",
                """
                ip netns exec \(moves ? network.moved : network.source) timeout 20 python3 -c "
                import socket, sys
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 99)); open('/run/mf-\(network.tag)', 'w').close()
                sys.stdout.write(s.recv(100).decode())" >/run/mf-\(network.tag).out 2>/dev/null &
                while [ ! -e /run/mf-\(network.tag) ]; do sleep 0.02; done
                """,
            ])
        defer { for end in ["", ".out"] { unlink("/run/mf-\(network.tag)\(end)") } }
        #expect(listener.status == .exited(0), "\(listener.errorText)")
        if moves {
            let handed = Mutex<[CapturedFrame]>([])
            let thread = try Thread(named: "hand on") { cut.handOn { frames in handed.withLock { $0 += frames } } }
            try eventually("the frame is handed on") { !handed.withLock { $0.isEmpty } }
            try preparation.open {
                for frame in handed.withLock({ $0 }) {
                    #expect(preparation.takes(frame))
                    preparation.give(frame)
                }
            }
            cut.release()
            thread.join()
        } else {
            try cut.uncut()
        }
        try eventually("the message arrives") { try FileIO.readLine("/run/mf-\(network.tag).out") == message }
        if !moves {
            let tables = try network.shell("ip netns exec \(network.source) nft list tables")
            #expect(!tables.contains(NewcomerHold.table), "newcomers are let in again")
        }
    }

    /// However many come while the hold begins and while the port is closed: the container gets each once.
    @Test func `no datagram is lost or comes twice`() throws {
        let network = try TestNetwork()
        let listener = try PythonInside(
            network.source,
            """
            import socket, sys
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
            s.bind(('', 99)); s.settimeout(20); print('listens', flush=True)
            seen = {}
            while True:
                text = s.recv(100)
                if text == b'end': break
                seen[int(text)] = seen.get(int(text), 0) + 1
            count = max(seen) + 1
            print('of', count, 'lost', count - len(seen), 'doubled', sum(n > 1 for n in seen.values()))
            """)
        try eventually("it listens") { try listener.output().contains("listens") }
        let sender = try PythonInside(
            network.client,
            """
            import socket, time
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('10.199.7.5', 99))
            end, n = time.monotonic() + 2, 0
            while time.monotonic() < end:
                s.send(b'%d' % n); n += 1
                if n % 4 == 0: time.sleep(0.002)
            print('sent', flush=True); time.sleep(1)
            for _ in range(3): s.send(b'end'); time.sleep(0.1)
            """)
        for cuts in [true, false, true] {
            let cut = try NetworkCut(describe(network), keepsConnections: true)
            _ = try cut.hold()
            if cuts { try cut.cut() }
            sleepThread(.milliseconds(30))
            try cut.uncut()
        }
        #expect(try !sender.output().contains("sent"), "it ended before the last cut")
        try eventually(within: .seconds(30), "the end comes") { try listener.output().contains("of") }
        let told = try listener.output()
        #expect(told.contains("lost 0 doubled 0"), "\(told)")
    }

    @Test func `undoing removes what was made and nothing else`() throws {
        let network = try TestNetwork()
        let before = try network.shell(
            "ip -o link | cut -d: -f2 | grep '\(network.tag)'; ip netns list | grep '\(network.tag)' | cut -d' ' -f1 | sort")
        let written = Mutex<[NetworkPreparation.Made]>([])
        let preparation = try NetworkPreparation(elsewhere(network)) { made in written.withLock { $0.append(made) } }
        #expect(written.withLock { $0.last } == preparation.made)
        try NetworkPreparation.undo(preparation.made)
        try NetworkPreparation.undo(preparation.made)
        #expect(
            try network.shell(
                "ip -o link | cut -d: -f2 | grep '\(network.tag)'; ip netns list | grep '\(network.tag)' | cut -d' ' -f1 | sort")
                == before)
        #expect(try network.answers())
    }

    @Test func `a preparation that fails half-way leaves nothing`() throws {
        let network = try TestNetwork()
        var description = try elsewhere(network)
        description.routes.append(.init(destination: "10.60.0.0/16", gateway: "192.0.2.1", interface: "eth0"))
        #expect(throws: NetworkError.self) { _ = try NetworkPreparation(description) }
        #expect(!FileIO.exists("/run/netns/\(network.moved)"))
        #expect(throws: NetworkError.self) { _ = try NetworkPreparation(elsewhere(network), bridge: "nosuchbridge") }
        #expect(!FileIO.exists("/run/netns/\(network.moved)"))
    }

    @Test func `a namespace that exists is not touched`() throws {
        let network = try TestNetwork()
        #expect(throws: NetworkError.self) { _ = try NetworkPreparation(describe(network)) }
        #expect(try network.answers())
    }

    @Test func `a namespace may be bound anywhere`() throws {
        let network = try TestNetwork()
        let space = try Workspace("netns")
        var description = try elsewhere(network)
        description.path = space.at("net")
        let preparation = try NetworkPreparation(description)
        #expect(try NetworkDescription.gather(path: space.at("net")).interfaces.first?.mac == network.mac)
        try NetworkPreparation.undo(preparation.made)
        #expect(!FileIO.exists(space.at("net")))
    }
}
