import Host
import LabSupport
import Plan
import Testing

extension InTheLab {
    /// A migration is held at the beginning of a phase while something happens from outside: each at the same place every time.
    @Suite struct Holds {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        static let undecided = ["check", "prepare", "copy", "cut", "freeze", "capture", "ship", "restore"]

        /// Starts a migration, holds the source at the phase, does something, and lets it go on.
        private func migrate(
            _ workload: any Workload, heldAt phase: String, options: [String] = [], meanwhile: (Migration) throws -> Void
        ) throws -> Migration {
            let migration = try Migration(
                workload.id, from: lab.alpha, to: lab.beta.address, options: options, fault: "source.\(phase).hold")
            guard try Migration.isHeld(on: lab.alpha) else {
                throw LabError("it was not held at \(phase): \(try migration.outcome())")
            }
            do { try meanwhile(migration) } catch {
                try? Migration.letGo(on: lab.alpha)
                _ = try? migration.outcome()
                throw error
            }
            try Migration.letGo(on: lab.alpha)
            return migration
        }

        // MARK: the container ends by itself

        private func kill(_ container: String, on host: LabHost) throws {
            // Until its tasks have left, which is when the kernel tells those who watch.
            _ = try host.run([
                "sh", "-c",
                """
                cd /sys/fs/cgroup/\(container) && echo 1 >cgroup.kill
                for i in $(seq 1000); do grep -q 'populated 1' cgroup.events 2>/dev/null || exit 0; sleep 0.01; done
                """,
            ])
        }

        private func expectGone(_ workload: any Workload, _ world: World, after outcome: Migration.Outcome) throws {
            let gone: Bool? = try eventually(.seconds(60)) {
                try lab.hosts.allSatisfy { try HostView(of: $0).life(of: workload.id) == .gone } ? true : nil
            }
            #expect(gone != nil, "a copy lives on after \(outcome)")
            // What runc itself keeps of a container that ended is the user's to delete, and so is the namespace that was
            // there before the container.
            for host in lab.hosts { _ = try host.run(["runc", "delete", workload.id]) }
            let left = try world.leftovers(of: workload.id) {
                $0.contains("/run/netns/\(workload.id)") || $0.contains("link v-")
            }
            #expect(left == [], "\(outcome)")
        }

        @Test(arguments: undecided)
        func `a container that ends before the decision is an end in words`(_ phase: String) throws {
            let workload = Stamper("lab-ends", megabytes: 24)
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome = try migrate(workload, heldAt: phase) { _ in try kill(workload.id, on: lab.alpha) }.outcome()
                if isReadyFirst(phase, outcome) { return try expectMovedAndClean(outcome, workload, world) }
                #expect(outcome.exitCode == 5 && outcome.report?.outcome == "failed", "\(outcome)")
                #expect(outcome.report?.error?.why.contains("ended by itself") == true, "\(outcome)")
                try expectGone(workload, world, after: outcome)
            }
        }

        /// What stands frozen at the source after the decision is only kept for the worst case.
        @Test(arguments: ["decide", "release"])
        func `a frozen copy that is killed after the decision is no loss`(_ phase: String) throws {
            let workload = Stamper("lab-ends", megabytes: 24)
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome = try migrate(workload, heldAt: phase) { _ in try kill(workload.id, on: lab.alpha) }.outcome()
                try expectMovedAndClean(outcome, workload, world)
            }
        }

        /// Held in `restore`, the source doesn't listen: the destination's `ready` may come before what happens meanwhile, and then
        /// the move is decided, rightly.
        private func isReadyFirst(_ phase: String, _ outcome: Migration.Outcome) -> Bool {
            phase == "restore" && outcome.exitCode == 0
        }

        private func expectMovedAndClean(_ outcome: Migration.Outcome, _ workload: any Workload, _ world: World) throws {
            try expectMoved(outcome, workload, to: lab.beta, world)
            try expectNothingLeft(by: workload, world)
        }

        @Test(arguments: ["fill", "clean"])
        func `a container that ends at the destination is gone everywhere`(_ phase: String) throws {
            let workload = Stamper("lab-ends", megabytes: 24)
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome = try migrate(workload, heldAt: phase) { _ in try kill(workload.id, on: lab.beta) }.outcome()
                #expect(outcome.exitCode == 0, "\(outcome)")
                try expectGone(workload, world, after: outcome)
            }
        }

        /// Nobody has decided when the held copy dies, or the decision can be taken back: nothing of it ran.
        @Test(arguments: ["restore", "decide", "release"])
        func `a copy that dies while it is held costs nothing`(_ phase: String) throws {
            let workload = Stamper("lab-held", megabytes: 24)
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome = try migrate(workload, heldAt: phase) { _ in
                    // In `restore` the restore may not have begun: its runc is there.
                    try kill(workload.id, on: lab.beta)
                }.outcome()
                if isReadyFirst(phase, outcome) { return try expectMovedAndClean(outcome, workload, world) }
                try expectStayed(outcome, workload, on: lab.alpha, world, codes: [4])
            }
        }

        // MARK: Ctrl-C

        @Test(arguments: undecided)
        func `an interrupt before the decision rolls back`(_ phase: String) throws {
            let workload = Stamper("lab-interrupt", megabytes: 24)
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome = try migrate(workload, heldAt: phase) { try $0.signal(phase == "copy" ? "TERM" : "INT") }.outcome()
                if isReadyFirst(phase, outcome) { return try expectMovedAndClean(outcome, workload, world) }
                try expectStayed(outcome, workload, on: lab.alpha, world, codes: [130])
            }
        }

        @Test(arguments: ["decide", "release", "fill", "clean"])
        func `an interrupt after the decision is too late`(_ phase: String) throws {
            let workload = Stamper("lab-interrupt", megabytes: 24)
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome = try migrate(workload, heldAt: phase) { try $0.signal("INT") }.outcome()
                try expectMovedAndClean(outcome, workload, world)
            }
        }

        // MARK: another migration

        @Test(arguments: ["freeze", "fill"])
        func `a second migration of the same container is refused and harms nothing`(_ phase: String) throws {
            let workload = Stamper("lab-second", megabytes: 24)
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome = try migrate(workload, heldAt: phase) { _ in
                    let second = try lab.migrate(workload.id, from: lab.alpha)
                    #expect(second.exitCode == 3 && second.report?.outcome == "refused", "\(second)")
                    #expect(second.report?.error?.why.contains("under way") == true, "\(second)")
                }.outcome()
                try expectMovedAndClean(outcome, workload, world)
            }
        }

        // MARK: the cable

        /// TCP repeats what was lost: a short cut is a pause.
        @Test(arguments: ["copy", "ship", "decide", "release"])
        func `a cable that is out for a second leaves exactly one copy`(_ phase: String) throws { try outForASecond(phase) }

        @Test(
            .tags(.slow), .enabled(if: Lab.isSlowWanted),
            arguments: ["check", "prepare", "cut", "freeze", "capture", "restore", "fill", "clean"])
        func `a cable that is out for a second at another phase leaves exactly one copy`(_ phase: String) throws {
            try outForASecond(phase)
        }

        private func outForASecond(_ phase: String) throws {
            let workload = Stamper("lab-cable", megabytes: 24)
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try migrate(workload, heldAt: phase) { _ in try lab.script("link", ["beta", "--cut"]) }
                sleepThread(.seconds(1))
                try lab.script("link", ["beta", "--restore"])
                try settled(try migration.outcome(within: .seconds(200)), workload, world)
            }
        }

        /// One that is out for longer than connections last: the source ends alone where it may, and else waits for the cable.
        @Test(arguments: ["ship", "release"])
        func `a cable that is out for long leaves exactly one copy`(_ phase: String) throws { try outForLong(phase) }

        @Test(.tags(.slow), .enabled(if: Lab.isSlowWanted), arguments: ["copy", "cut", "capture", "restore", "decide", "fill"])
        func `a cable that is out for long at another phase leaves exactly one copy`(_ phase: String) throws {
            try outForLong(phase)
        }

        private func outForLong(_ phase: String) throws {
            let workload = Stamper("lab-cable", megabytes: 24)
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try migrate(workload, heldAt: phase) { _ in try lab.script("link", ["beta", "--cut"]) }
                // Decided, it asks on, and says so to whoever waits.
                let asksOn = migration.tells("asked again", within: .seconds(90))
                let isOver = migration.ends(within: .seconds(asksOn ? 0 : 5))
                try lab.script("link", ["beta", "--restore"])
                let outcome = try migration.outcome(within: .seconds(200))
                #expect(isOver || asksOn, "it noticed nothing: \(outcome)")
                if phase != "restore", Self.undecided.contains(phase) { #expect(isOver, "it waited for the cable: \(outcome)") }
                try settled(outcome, workload, world)
            }
        }

        private func settled(_ outcome: Migration.Outcome, _ workload: any Workload, _ world: World) throws {
            #expect([0, 3, 4, 5].contains(outcome.exitCode), "\(outcome)")
            let host = try world.onlyHost(of: workload.id, within: .seconds(90)) { try lab.recover() }
            if outcome.exitCode == 0 { #expect(host == lab.beta, "\(outcome)") }
            if [3, 4].contains(outcome.exitCode) { #expect(host == lab.alpha, "\(outcome)") }
            try workload.verify(on: host)
            // A rollback over a dead cable could not tell the destination: recovery does.
            if outcome.exitCode != 0 { try lab.recover() }
            try expectNothingLeft(by: workload, world)
        }
    }
}
