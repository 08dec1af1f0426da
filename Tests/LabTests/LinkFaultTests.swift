import Host
import LabSupport
import Testing

extension InTheLab {
    /// A link that becomes nearly none on the way, and clients that go away while nobody can hear them.
    @Suite struct LinkFaults {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        /// 1 Mbit/s from the middle of the copy on, or from the freeze on. A container must not stand still for minutes: within the limit of
        /// the frozen window (30 s, and a second for each 10 MB) it is moved or runs on.
        @Test(arguments: ["copy", "capture"])
        func `a link that drops to 1 Mbit a second ends in a right container, soon`(_ phase: String) throws {
            let workload = ChurnedRedis("lab-drop", megabytes: 24, rate: 4000)
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.script("link", [lab.beta.name, "--rate", "200mbit"])
                defer { _ = try? lab.script("link", [lab.beta.name, "--clear"]) }
                try workload.beginLoad()
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address, options: ["--timeout", "100"],
                    fault: "source.\(phase).hold")
                try #require(try Migration.isHeld(on: lab.alpha))
                try lab.script("link", [lab.beta.name, "--rate", "1mbit"])
                try Migration.letGo(on: lab.alpha)
                let outcome = try migration.outcome(within: .seconds(170))
                try lab.script("link", [lab.beta.name, "--clear"])
                try workload.endLoad()
                let frozen = outcome.report?.phases.filter(\.frozen).reduce(0) { $0 + $1.durationMs } ?? 0
                #expect(frozen < 45_000, "frozen for \(frozen) ms: \(outcome)")
                #expect([0, 4].contains(outcome.exitCode), "\(outcome)")
                let host = try world.onlyHost(of: workload.id, within: .seconds(60)) { try lab.recover() }
                #expect(host == (outcome.exitCode == 0 ? lab.beta : lab.alpha), "\(outcome)")
                try workload.verify(on: host)
                try lab.recover()
                try expectNothingLeft(by: workload, world)
            }
        }

        /// Every connection is reset, or the cable is pulled until both ends have noticed; in the first round, when most is on its way.
        @Test(arguments: ["reset", "cable"])
        func `a copy whose link is lost goes on without sending everything again`(_ how: String) throws {
            let workload = Redis("lab-resume", memory: "96M", pause: 0.002)
            try withWorkload(workload, on: lab.alpha) { world in
                try workload.beginLoad()
                try lab.script("link", [lab.beta.name, "--rate", "200mbit"])
                defer { _ = try? lab.script("link", [lab.beta.name, "--clear"]) }
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address, options: ["--compress", "none"])
                try #require(migration.says { ($0.bytesLeft ?? .max) < 60 << 20 && $0.phase == "copy" })
                if how == "reset" {
                    try lab.alpha.shell("ss -K dst \(lab.beta.address) dport = 7077")
                } else {
                    try lab.script("link", [lab.beta.name, "--cut"])
                    defer { _ = try? lab.script("link", [lab.beta.name, "--restore"]) }
                    #expect(migration.tells("the container runs on"))
                }
                let outcome = try migration.outcome()
                try lab.script("link", [lab.beta.name, "--clear"])
                #expect(outcome.events.contains { $0.text?.contains("is there again") == true }, "\(outcome)")
                try workload.endLoad()
                try expectMoved(outcome, workload, to: lab.beta, world)
                let report = try #require(outcome.report)
                #expect(report.bytesSent * 10 < report.memoryBytes * 13, "\(report.bytesSent) of \(report.memoryBytes) bytes")
                try expectNothingLeft(by: workload, world)
            }
        }

        /// Versions of a page that were on their way land or don't: none may be taken for another.
        @Test func `a copy under a writer whose connections are reset again and again is right`() throws {
            let workload = Stamper("lab-resets", megabytes: 48)
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.script("link", [lab.beta.name, "--rate", "400mbit"])
                defer { _ = try? lab.script("link", [lab.beta.name, "--clear"]) }
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address,
                    options: ["--compress", "none", "--downtime-limit", "1000"])
                for _ in 0..<3 {
                    try #require(migration.says { $0.phase == "copy" && ($0.rate ?? 0) > 1 << 20 })
                    try lab.alpha.shell("ss -K dst \(lab.beta.address) dport = 7077")
                    guard migration.tells("is there again") else { break }
                }
                let outcome = try migration.outcome()
                try lab.script("link", [lab.beta.name, "--clear"])
                try expectMoved(outcome, workload, to: lab.beta, world)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `a link that stays away ends at the source by itself, and at the destination`() throws {
            let workload = Redis("lab-away", memory: "48M", pause: 0.002)
            try withWorkload(workload, on: lab.alpha) { world in
                try workload.beginLoad()
                try lab.script("link", [lab.beta.name, "--rate", "100mbit"])
                defer { _ = try? lab.script("link", [lab.beta.name, "--clear"]) }
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address, options: ["--compress", "none", "--retry-for", "4"])
                try #require(migration.reaches("copy"))
                try lab.script("link", [lab.beta.name, "--cut"])
                let outcome = try migration.outcome()
                #expect(outcome.exitCode == 4, "\(outcome)")
                #expect(outcome.report?.error?.why.contains("did not come back within 4 s") == true, "\(outcome)")
                // Nobody tells the destination: its own limit does.
                let session = "pgrep -f '[i]nternal-session' >/dev/null && echo there || echo gone"
                let end = try eventually(.seconds(120)) { try lab.beta.shell(session) == "gone" ? true : nil }
                #expect(end == true)
                try lab.script("link", [lab.beta.name, "--restore"])
                try lab.recover()
                try workload.endLoad()
                try expectOnly(workload, on: lab.alpha, world)
                try workload.verify(on: lab.alpha)
                try expectNothingLeft(by: workload, world)
            }
        }

        /// One says goodbye, one resets; the server is to see both where it goes on, and to answer the third.
        @Test(arguments: [true, false])
        func `peers that go away during the freeze are gone after it`(moves: Bool) throws {
            let redis = Redis("lab-leaves", memory: "4M")
            try withWorkload(redis, on: lab.alpha) { world in
                let clients = try lab.client.start(["python3", "-c", Self.clients, "10.77.1.11"])
                defer { clients.stop() }
                try #require(clients.line { $0 == "connected" } != nil, "\(clients.errors)")
                let migration = try Migration(
                    redis.id, from: lab.alpha, to: lab.beta.address, fault: "source.ship.hold")
                try #require(try Migration.isHeld(on: lab.alpha))
                try lab.client.shell("touch /run/lab/leave")
                try #require(clients.line { $0 == "left" } != nil, "\(clients.errors)")
                if !moves { try migration.signal("INT") }
                try Migration.letGo(on: lab.alpha)
                let outcome = try migration.outcome()
                #expect(outcome.exitCode == (moves ? 0 : 130), "\(outcome)")
                let told = clients.line { $0.hasPrefix("names") }
                #expect(told == "names stays", "\(told ?? "nothing") \(clients.errors)")
                try expectOnly(redis, on: moves ? lab.beta : lab.alpha, world)
                try redis.verify(on: moves ? lab.beta : lab.alpha)
                try expectNothingLeft(by: redis, world)
            }
        }

        /// Three connections of a redis: the first two leave when a file says so, the third asks until they are gone.
        private static let clients = """
            import os, socket, struct, sys, time
            os.path.exists("/run/lab/leave") and os.unlink("/run/lab/leave")
            def connect(name):
                s = socket.create_connection((sys.argv[1], 6379))
                s.sendall(b"CLIENT SETNAME " + name + b"\\r\\n")
                assert s.recv(100) == b"+OK\\r\\n"
                return s
            fin, reset, stays = connect(b"fin"), connect(b"reset"), connect(b"stays")
            print("connected", flush=True)
            while not os.path.exists("/run/lab/leave"): time.sleep(0.01)
            fin.close()
            reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); reset.close()
            os.unlink("/run/lab/leave")
            print("left", flush=True)
            end = time.monotonic() + 60
            while True:
                stays.sendall(b"CLIENT LIST\\r\\n")
                head = b""
                while not head.endswith(b"\\r\\n"): head += stays.recv(1)
                text, size = b"", int(head[1:])
                while len(text) < size + 2: text += stays.recv(65536)
                names = sorted(w[5:].decode() for w in text.split() if w.startswith(b"name=") and len(w) > 5)
                if names == ["stays"] or time.monotonic() > end: break
                time.sleep(0.1)
            print("names", *names, flush=True)
            """
    }
}
