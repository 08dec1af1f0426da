import Host
import LabSupport
import Testing

extension InTheLab {
    /// The published methods beside our own: a redis that moves there and back, and what goes wrong on the way.
    @Suite struct PublishedMethods {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        static let methods = ["page-server", "pre-copy-page-server", "post-copy"]

        @Test(arguments: methods)
        func `a redis under a writer moves there and back with every write`(_ method: String) throws {
            let redis = Redis("lab-methods", memory: "100M")
            try withWorkload(redis, on: lab.alpha) { world in
                for host in [lab.alpha, lab.beta] {
                    try redis.beginLoad()
                    let outcome = try lab.migrate(redis.id, from: host, options: ["--method", method])
                    try expectMoved(outcome, redis, to: lab.other(host), world)
                    #expect(outcome.report?.method == method)
                    try redis.endLoad()
                    try redis.verify(on: lab.other(host))
                }
                try expectNothingLeft(by: redis, world)
                let listening = try lab.beta.shell("ss -ltnpH | grep criu || true")
                #expect(listening.isEmpty, "\(listening)")
            }
        }

        /// A program of several processes that share memory with their parent.
        @Test(arguments: methods)
        func `a tree of processes moves there and back`(_ method: String) throws {
            let workload = Postgres("lab-methods-tree")
            try withWorkload(workload, on: lab.alpha) { world in
                for host in [lab.alpha, lab.beta] {
                    let outcome = try lab.migrate(workload.id, from: host, options: ["--method", method])
                    try expectMoved(outcome, workload, to: lab.other(host), world)
                }
                try expectNothingLeft(by: workload, world)
            }
        }

        struct Fault: Sendable, CustomTestStringConvertible {
            var method: String
            var point: String
            var testDescription: String { "\(method): \(point)" }
        }

        /// Undecided: the source goes on, whatever broke.
        static let faults = methods.flatMap { method in
            [
                "source.capture.cut-link", "source.capture.kill-criu", "source.capture.kill", "source.ship.cut-link",
                "destination.restore.kill-criu", "destination.restore.fail", "destination.cut.cut-link",
            ].map { Fault(method: method, point: $0) }
        }

        @Test(arguments: faults)
        func `a fault in the freeze lets the source go on, and leaves nothing`(_ fault: Fault) throws {
            let workload = Stamper("lab-methods-back", megabytes: 48)
            try withWorkload(workload, on: lab.alpha) { world in
                let isThere = fault.point.hasPrefix("destination")
                if isThere { try lab.beta.write(fault.point, to: "/run/martlet/fault") }
                let outcome = try lab.migrate(
                    workload.id, from: lab.alpha, options: ["--method", fault.method], fault: isThere ? nil : fault.point)
                _ = try? lab.beta.shell("rm -f /run/martlet/fault")
                #expect(outcome.exitCode != 0, "\(outcome)")
                let host = try world.onlyHost(of: workload.id, within: .seconds(90)) { try lab.recover() }
                #expect(host == lab.alpha)
                try workload.verify(on: lab.alpha)
                try expectNothingLeft(by: workload, world)
                try expectMoved(try lab.migrate(workload.id, from: lab.alpha), workload, to: lab.beta, world)
            }
        }

        /// Over a slow link the dump takes seconds: time to break it in its middle.
        private func inTheDump(_ method: String, _ body: (Migration, Stamper, World) throws -> Void) throws {
            let workload = Stamper("lab-methods-dump", megabytes: 64)
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.script("link", ["alpha", "--rate", "100mbit"])
                defer { _ = try? lab.script("link", ["alpha", "--clear"]) }
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address, options: ["--method", method])
                try #require(migration.reaches("capture"))
                try body(migration, workload, world)
                try lab.script("link", ["alpha", "--clear"])
                let host = try world.onlyHost(of: workload.id, within: .seconds(90)) { try lab.recover() }
                #expect(host == lab.alpha)
                try workload.verify(on: lab.alpha)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `a page server that is killed in the dump lets the source go on`() throws {
            try inTheDump("page-server") { migration, _, _ in
                // The page server is the only CRIU of that name's arguments.
                try lab.beta.shell(
                    "for i in $(seq 200); do p=$(pgrep -f '[p]s-socket 3' | head -n 1); [ -n \"$p\" ] && kill -9 $p && exit 0; sleep 0.02; done; exit 1"
                )
                let outcome = try migration.outcome(within: .seconds(90))
                #expect(outcome.exitCode == 4, "\(outcome)")
            }
        }

        @Test func `a session that is killed in the dump lets the source go on`() throws {
            try inTheDump("page-server") { migration, _, _ in
                try lab.beta.shell("kill -9 \"$(pgrep -f '[i]nternal-session' | head -n 1)\"")
                let outcome = try migration.outcome(within: .seconds(90))
                #expect(outcome.exitCode == 4, "\(outcome)")
            }
        }

        @Test func `Ctrl-C in the dump lets the source go on`() throws {
            try inTheDump("page-server") { migration, _, _ in
                try migration.signal("INT")
                let outcome = try migration.outcome(within: .seconds(90))
                #expect(outcome.exitCode == 130, "\(outcome)")
            }
        }

        /// A post-copy over a slow link, in the fill: the container runs at the destination with hardly any memory.
        private func inTheFill(_ body: (Migration, Stamper, World) throws -> Void) throws {
            let workload = Stamper("lab-methods-rest", megabytes: 64)
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.script("link", ["alpha", "--rate", "200mbit"])
                defer { _ = try? lab.script("link", ["alpha", "--clear"]) }
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address, options: ["--method", "post-copy", "--compress", "none"])
                try #require(migration.reaches("fill"))
                try body(migration, workload, world)
                let host = try world.onlyHost(of: workload.id, within: .seconds(90)) { try lab.recover() }
                #expect(host == lab.beta)
                try workload.verify(on: lab.beta)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `a link that is lost in the fill of everything comes back and costs nothing`() throws {
            try inTheFill { migration, _, _ in
                try lab.script("link", ["beta", "--cut"])
                sleepThread(.seconds(3))
                try lab.script("link", ["beta", "--restore"])
                let outcome = try migration.outcome(within: .seconds(150))
                #expect([0, 5].contains(outcome.exitCode), "\(outcome)")
            }
        }

        @Test func `recover serves everything after migrate and its guardian were killed`() throws {
            try inTheFill { migration, workload, _ in
                let guardian = try lab.alpha.shell("pgrep -f '[i]nternal-guardian' | head -n 1").filter(\.isNumber)
                try lab.alpha.shell("kill -9 \(guardian)")
                try migration.signal("KILL")
                #expect(try migration.outcome().exitCode == 137)
                #expect(try HostView(of: lab.alpha).life(of: workload.id) == .frozen)
                let recover = try lab.alpha.run(["martlet", "recover"], timeout: .seconds(120))
                #expect(recover.status.isSuccess, "\(recover.outputText)\(recover.errorText)")
            }
        }
    }
}
