import Host
import LabSupport
import Model
import Plan
import Testing

extension InTheLab {
    /// Every failure point, one after the other, on one redis under a writer that goes to and fro.
    @Suite struct FaultWalk {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        /// The points that `make test` walks: those where a wrong step costs a copy or makes a second one, on both sides, and
        /// every kind of fault at least once. All of them walk with MARTLET_LAB_SLOW=1.
        static let quick = [
            "source.prepare.fail", "source.copy.kill", "source.copy.cut-link", "source.copy-1.cut-link",
            "source.cut.kill", "source.freeze.kill", "source.freeze.kill-keeper", "source.capture.kill",
            "source.capture.kill-criu", "source.capture.hang", "source.ship.kill", "source.ship.kill-criu", "source.restore.kill",
            "source.restore.cut-link",
            "source.decide.kill", "source.decide.fail-journal", "source.decide.cut-link", "source.release.kill",
            "source.release.cut-link", "source.fill.kill", "source.clean.kill",
            "destination.check.kill", "destination.prepare.fail", "destination.copy.kill", "destination.copy.cut-link",
            "destination.cut.cut-link", "destination.cut.kill-criu", "destination.restore.kill", "destination.restore.kill-criu",
            "destination.restore.fail",
            "destination.restore.hang", "destination.decide.kill", "destination.decide.fail-journal",
            "destination.decide.kill-agent", "destination.release.kill",
            "destination.release.kill-criu", "destination.release.kill-keeper", "destination.release.fail",
            "destination.release.fail-journal", "destination.fill.kill", "destination.fill.fail", "destination.fill.cut-link",
            "destination.clean.kill",
        ].compactMap { try? FailurePoint.parse($0) }

        private func walk(_ points: [FailurePoint]) throws {
            let workload = Redis("lab-faults", memory: "24M", pause: 0.002)
            try workload.remove()
            let world = try World()
            defer { try? workload.remove() }
            try workload.start(on: lab.alpha)
            var host = lab.alpha
            var left: [String] = []
            for point in points {
                do {
                    host = try survive(point, workload, on: host, world, &left)
                } catch {
                    Issue.record("\(point): \(error)")
                    tell("\(point): \(error)")
                    // The next point begins with a container in good order.
                    try? workload.endLoad()
                    try lab.up()
                    try? lab.recover()
                    try workload.remove()
                    try workload.start(on: lab.alpha)
                    host = lab.alpha
                }
            }
        }

        /// - Returns: where the container runs afterwards.
        private func survive(
            _ point: FailurePoint, _ workload: Redis, on source: LabHost, _ world: World, _ left: inout [String]
        ) throws -> LabHost {
            let destination = lab.other(source)
            let began = MonotonicInstant.now
            try workload.beginLoad()
            let logged = Int(try destination.shell("wc -c </var/log/martlet-agent.log || echo 0")) ?? 0
            if point.role == .destination { try destination.write("\(point)", to: "/run/martlet/fault") }
            let outcome = try lab.migrate(
                workload.id, from: source, options: point.what == .hang ? ["--timeout", "8"] : [],
                fault: point.role == .source ? "\(point)" : nil, within: .seconds(300))
            try expectReached(point, outcome, destination, logged)

            // A killed agent is started again, as systemd would; then each side settles what it has to.
            if [.killAgent, .kill].contains(point.what) { try lab.up() }
            if ![0, 3, 4].contains(outcome.exitCode) { try lab.recover() }
            let host = try world.onlyHost(of: workload.id, within: .seconds(90)) { try lab.recover() }
            switch outcome.exitCode {
            case 0: #expect(host == destination, "\(point): it said migrated")
            case 3, 4: #expect(host == source, "\(point): it said that the source runs on\n\(outcome)")
            case 5, 137: break
            default: Issue.record("\(point): \(outcome)")
            }
            try workload.endLoad()
            try workload.verify(on: host)
            // What one point left, the next ones find too.
            let known = left
            let more = try world.leftovers(of: workload.id) { known.contains($0) }
            left += more
            #expect(more == [], "\(point)")
            if Self.mustPreventTheMove(point) { #expect(outcome.exitCode != 0, "\(point) had no effect") }
            tell("\(point): exit \(outcome.exitCode), runs on \(host), settled after \(began.elapsed)")
            return host
        }

        /// Faults before the decision that nothing can make up for: where the container moved all the same, none was made.
        private static func mustPreventTheMove(_ point: FailurePoint) -> Bool {
            switch (point.role, point.what) {
            case (.source, .fail), (.source, .hang):
                ["prepare", "copy", "cut", "freeze", "capture", "ship"].contains(point.phase)
            case (.source, .killCriu): ["cut", "freeze", "capture", "ship"].contains(point.phase)
            case (.source, .failJournal), (.destination, .failJournal): ["prepare", "cut", "decide"].contains(point.phase)
            case (.destination, .fail): ["check", "prepare", "copy", "cut", "restore"].contains(point.phase)
            case (.destination, .hang): true
            case (.destination, .killCriu): true
            default: false
            }
        }

        /// A walk takes minutes: whoever waits for it sees where it is.
        private func tell(_ line: String) { try? FileIO.writeAll(Array("  \(line)\n".utf8).span.bytes, to: 2, name: "stderr") }

        /// A point that nothing comes by tests nothing.
        private func expectReached(
            _ point: FailurePoint, _ outcome: Migration.Outcome, _ destination: LabHost, _ logged: Int
        ) throws {
            if point.role == .source {
                #expect(outcome.errors.contains("fault: \(point)"), "\(point) was not reached: \(outcome)")
            } else {
                let log = try destination.shell(
                    "rm -f /run/martlet/fault; tail -c +\(logged + 1) /var/log/martlet-agent.log | grep -aF 'fault: \(point)' || true"
                )
                #expect(!log.isEmpty, "\(point) was not reached: \(outcome)")
            }
        }

        @Test func `after a fault at any of the delicate points exactly one copy runs, with its data`() throws {
            #expect(Self.quick.count == 43)
            try walk(Self.quick)
        }

        /// In bundles, so that the walk's report names where it is.
        @Test(.tags(.slow), .enabled(if: Lab.isSlowWanted), arguments: Role.allCases, FailurePoint.What.allCases)
        func `after a fault at any point exactly one copy runs, with its data`(_ role: Role, _ what: FailurePoint.What) throws {
            try walk(FailurePoint.all.filter { $0.role == role && $0.what == what })
        }

        /// For whoever looks for a rare failure: MARTLET_LAB_POINTS="source.freeze.kill source.freeze.kill".
        @Test(.enabled(if: Lab.wantedPoints != nil))
        func `after a fault at a point that was asked for exactly one copy runs, with its data`() throws {
            try walk((Lab.wantedPoints ?? []).map { try FailurePoint.parse($0) })
        }
    }
}
