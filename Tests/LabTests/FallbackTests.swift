import Host
import LabSupport
import Testing

/// Dump, restore and tracker as the result names them.
func expectWays(_ outcome: Migration.Outcome, _ ways: [String?], sourceLocation: SourceLocation = #_sourceLocation) {
    let named = [outcome.report?.dump, outcome.report?.restore, outcome.report?.tracker]
    #expect(named == ways, "\(outcome)", sourceLocation: sourceLocation)
}

extension InTheLab {
    /// What becomes of a move where the best way is missing.
    @Suite struct Fallbacks {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        struct Poor: Sendable, CustomTestStringConvertible {
            var alpha = "", beta = ""
            var ways: [String?]
            var method: String?
            /// Of the warning that tells it.
            var code: String
            var testDescription: String { "alpha without '\(alpha)', beta without '\(beta)'" }
        }

        static let poor: [Poor] = [
            Poor(alpha: "library", ways: ["lazy", "fault-server", "write-protect"], code: "slower-way"),
            Poor(beta: "userfaultfd", ways: ["full", "images", nil], method: "stop-copy", code: "slower-way"),
            Poor(beta: "lazy-pages", ways: ["full", "images", nil], method: "stop-copy", code: "slower-way"),
            Poor(
                alpha: "write-protect soft-dirty", ways: ["hidden", "fault-server", "content-hash"], code: "slower-tracker"),
        ]

        @Test(arguments: poor)
        func `a host that lacks the best way takes the next one and says so`(_ poor: Poor) throws {
            let workload = Stamper("lab-poor", megabytes: 32)
            defer { for host in lab.hosts { InTheLab.pretend("", on: host) } }
            try withWorkload(workload, on: lab.alpha) { world in
                InTheLab.pretend(poor.alpha, on: lab.alpha)
                InTheLab.pretend(poor.beta, on: lab.beta)
                let check = try lab.alpha.run(["martlet", "check", workload.id, "--to", lab.beta.address, "--json"])
                #expect(check.status.isSuccess && check.outputText.contains("\"\(poor.code)\""), "\(check.outputText)")
                let outcome = try lab.migrate(workload.id, from: lab.alpha)
                for host in lab.hosts { InTheLab.pretend("", on: host) }
                try expectMoved(outcome, workload, to: lab.beta, world)
                expectWays(outcome, poor.ways)
                if let method = poor.method { #expect(outcome.report?.method == method) }
                try expectMoved(try lab.migrate(workload.id, from: lab.beta), workload, to: lab.alpha, world)
                try expectNothingLeft(by: workload, world)
            }
        }

        /// First in the PATH: a CRIU that can't be preloaded, as a statically linked one.
        private static let unwilling = "printf '#!/bin/sh\\nunset LD_PRELOAD MARTLET_SHIM_DIR\\nexec /usr/sbin/criu \"$@\"\\n'"

        @Test func `a CRIU at the source that takes no library dumps lazily`() throws {
            let workload = Stamper("lab-unwilling", megabytes: 32)
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.alpha.shell("mkdir -p /run/lab-criu; \(Self.unwilling) >/run/lab-criu/criu; chmod 755 /run/lab-criu/criu")
                defer { _ = try? lab.alpha.shell("rm -rf /run/lab-criu") }
                let forced = try lab.migrate(workload.id, from: lab.alpha, options: ["--dump", "hidden"], path: "/run/lab-criu")
                #expect(forced.exitCode == 3 && forced.events.contains { $0.code == "way-impossible" }, "\(forced)")
                let outcome = try lab.migrate(workload.id, from: lab.alpha, path: "/run/lab-criu")
                try lab.alpha.shell("rm -rf /run/lab-criu")
                try expectMoved(outcome, workload, to: lab.beta, world)
                expectWays(outcome, ["lazy", "fault-server", "write-protect"])
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `a CRIU at the destination that takes no library is refused`() throws {
            let workload = Tiny("lab-unwilling")
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.beta.shell("\(Self.unwilling) >/usr/local/sbin/criu; chmod 755 /usr/local/sbin/criu")
                defer { _ = try? lab.beta.shell("rm -f /usr/local/sbin/criu") }
                let outcome = try lab.migrate(workload.id, from: lab.alpha)
                try lab.beta.shell("rm -f /usr/local/sbin/criu")
                try expectStayed(outcome, workload, on: lab.alpha, world, codes: [3])
                #expect(outcome.events.contains { $0.code == "restore-unheld" }, "\(outcome)")
            }
        }

        @Test func `a CRIU that sees hidden pages moves slowly once, and another way afterwards`() throws {
            let workload = Stamper("lab-visible", megabytes: 32)
            defer {
                InTheLab.pretend("", on: lab.alpha)
                _ = try? lab.alpha.shell("rm -f /run/martlet/criu-probe.json")
            }
            try withWorkload(workload, on: lab.alpha) { world in
                InTheLab.pretend("visible-pages", on: lab.alpha)
                let first = try lab.migrate(workload.id, from: lab.alpha)
                InTheLab.pretend("", on: lab.alpha)
                try expectMoved(first, workload, to: lab.beta, world)
                expectWays(first, ["hidden", "fault-server", "write-protect"])
                try expectMoved(try lab.migrate(workload.id, from: lab.beta), workload, to: lab.alpha, world)
                let second = try lab.migrate(workload.id, from: lab.alpha)
                try expectMoved(second, workload, to: lab.beta, world)
                expectWays(second, ["lazy", "fault-server", "write-protect"])
                let told = second.events.contains { $0.text?.contains("pages in its images that were hidden") ?? false }
                #expect(told, "\(second)")
            }
        }

        /// CRIU would go on behind `post-dump` and serve memory to anybody: it must be dead before that.
        @Test(arguments: [
            "source.capture.fail", "source.capture.kill-criu", "source.ship.fail", "source.restore.cut-link",
            "destination.restore.fail", "destination.restore.kill-criu", "source.restore.kill",
        ])
        func `a lazy dump that is rolled back leaves the source unharmed`(_ fault: String) throws {
            let workload = Stamper("lab-lazy-back", megabytes: 32)
            try withWorkload(workload, on: lab.alpha) { world in
                if fault.hasPrefix("destination") { try lab.beta.write(fault, to: "/run/martlet/fault") }
                let outcome = try lab.migrate(
                    workload.id, from: lab.alpha, options: ["--dump", "lazy"], fault: fault.hasPrefix("source") ? fault : nil)
                #expect(outcome.exitCode != 0, "\(outcome)")
                _ = try? lab.beta.shell("rm -f /run/martlet/fault")
                try expectOnly(workload, on: lab.alpha, world)
                try workload.verify(on: lab.alpha)
                try expectNothingLeft(by: workload, world)
                let listening = try lab.alpha.shell("ss -ltnpH | grep criu || true")
                #expect(listening.isEmpty)
                try expectMoved(try lab.migrate(workload.id, from: lab.alpha), workload, to: lab.beta, world)
            }
        }
    }
}
