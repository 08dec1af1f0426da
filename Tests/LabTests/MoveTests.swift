import Host
import LabSupport
import Testing

extension InTheLab {
    @Suite struct Moves {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        struct Case: Sendable, CustomTestStringConvertible {
            var kind: Kind
            var underLoad: Bool
            var testDescription: String { "\(kind.rawValue)\(underLoad ? " under load" : "")" }

            static let all = Kind.allCases.flatMap { kind in
                (kind.takesLoad ? [false, true] : [false]).map { Case(kind: kind, underLoad: $0) }
            }
        }

        @Test(arguments: Case.all)
        func `a workload moves forth and back with its state and leaves nothing behind`(_ one: Case) throws {
            let workload = one.kind.make()
            try withWorkload(workload, on: lab.alpha) { world in
                if one.underLoad { try workload.beginLoad() }
                for destination in [lab.beta, lab.alpha] {
                    let outcome = try lab.migrate(workload.id, from: lab.other(destination))
                    try expectMoved(outcome, workload, to: destination, world)
                }
                if one.underLoad { try workload.endLoad() }
                try workload.verify(on: lab.alpha)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `the result says what the contract promises`() throws {
            let workload = Redis("lab-result", memory: "32M")
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome = try lab.migrate(workload.id, from: lab.alpha)
                try expectMoved(outcome, workload, to: lab.beta, world)
                let report = try #require(outcome.report)
                #expect(report.container == workload.id && report.engine == "runc" && report.error == nil)
                #expect(report.downtimeMs > 0 && report.downtimeMs < report.totalMs)
                #expect(report.memoryBytes > 32 << 20 && report.bytesSent > 0)
                #expect(!report.rounds.isEmpty)
                let frozen = report.phases.filter(\.frozen)
                #expect(frozen.map(\.name).first == "freeze" && !frozen.contains { $0.name == "copy" })
                let sum = frozen.map(\.durationMs).reduce(0, +)
                #expect(
                    abs(sum - report.downtimeMs) < max(5, report.downtimeMs / 4), "phases \(sum), downtime \(report.downtimeMs)")
                #expect(outcome.events.last?.event == "result" && outcome.events.contains { $0.event == "phase" })
            }
        }

        @Test func `a dry run and a check touch nothing`() throws {
            let workload = Tiny("lab-dry")
            try withWorkload(workload, on: lab.alpha) { world in
                let check = try lab.alpha.run(["martlet", "check", workload.id, "--to", lab.beta.address])
                #expect(check.status.isSuccess, "\(check.outputText)\(check.errorText)")
                let outcome = try lab.migrate(workload.id, from: lab.alpha, options: ["--dry-run"])
                #expect(outcome.exitCode == 0, "\(outcome)")
                try expectOnly(workload, on: lab.alpha, world)
                try expectNothingLeft(by: workload, world)
                #expect(try lab.beta.run(["test", "-e", "/data/\(workload.id)"]).status == .exited(1))
                try workload.verify(on: lab.alpha)
            }
        }

        @Test(.tags(.slow), .enabled(if: Lab.isSlowWanted), arguments: ["1G", "8G"])
        func `a large redis moves forth and back`(_ memory: String) throws {
            let workload = Redis("lab-large", memory: memory)
            try withWorkload(workload, on: lab.alpha) { world in
                for destination in [lab.beta, lab.alpha] {
                    let outcome = try lab.migrate(workload.id, from: lab.other(destination), within: .seconds(600))
                    try expectMoved(outcome, workload, to: destination, world)
                }
                try expectNothingLeft(by: workload, world)
            }
        }
    }
}
