import Host
import LabSupport
import Testing

extension InTheLab {
    /// Pages that stayed behind get to the destination whoever dies meanwhile, as long as the frozen processes live.
    @Suite struct HybridRecovery {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        /// A hybrid migration of a busy program over a slow link, in the fill, which then takes seconds.
        private func inTheFill(
            fault: String? = nil, _ body: (Migration, Stamper, World) throws -> Void
        ) throws {
            let workload = Stamper("lab-rest", megabytes: 64)
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.script("link", ["alpha", "--rate", "200mbit"])
                defer { _ = try? lab.script("link", ["alpha", "--clear"]) }
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address, options: ["--method", "hybrid", "--compress", "none"],
                    fault: fault)
                try #require(migration.reaches("fill"))
                try body(migration, workload, world)
                try expectNothingLeft(by: workload, world)
            }
        }

        private func settled(_ workload: Stamper, _ world: World) throws {
            let host = try world.onlyHost(of: workload.id, within: .seconds(90)) { try lab.recover() }
            #expect(host == lab.beta)
            try workload.verify(on: lab.beta)
        }

        private func guardian(of workload: Stamper) throws -> String {
            try lab.alpha.shell("pgrep -f '[i]nternal-guardian' | head -n 1").filter(\.isNumber)
        }

        @Test func `the guardian serves the rest after migrate was killed`() throws {
            try inTheFill { migration, workload, world in
                try migration.signal("KILL")
                #expect(try migration.outcome().exitCode == 137)
                try settled(workload, world)
            }
        }

        @Test func `recover serves the rest after migrate and its guardian were killed`() throws {
            try inTheFill { migration, workload, world in
                let guardian = try guardian(of: workload)
                try lab.alpha.shell("kill -9 \(guardian)")
                try migration.signal("KILL")
                #expect(try migration.outcome().exitCode == 137)
                #expect(try HostView(of: lab.alpha).life(of: workload.id) == .frozen)
                let status = try lab.alpha.run(["martlet", "status"]).outputText
                #expect(status.contains("the container here: frozen") && status.contains("martlet recover"), "\(status)")
                let recover = try lab.alpha.run(["martlet", "recover"], timeout: .seconds(120))
                #expect(recover.status.isSuccess, "\(recover.outputText)\(recover.errorText)")
                try settled(workload, world)
            }
        }

        @Test func `a link that is cut in the fill and comes back costs nothing`() throws {
            try inTheFill { migration, workload, world in
                try lab.script("link", ["beta", "--cut"])
                sleepThread(.seconds(3))
                try lab.script("link", ["beta", "--restore"])
                let outcome = try migration.outcome(within: .seconds(150))
                #expect([0, 5].contains(outcome.exitCode), "\(outcome)")
                try settled(workload, world)
            }
        }

        @Test func `the keeper takes the rest after the destination's session was killed`() throws {
            try inTheFill { migration, workload, world in
                try lab.beta.shell("kill -9 \"$(pgrep -f '[i]nternal-session' | head -n 1)\"")
                let outcome = try migration.outcome(within: .seconds(150))
                #expect(outcome.exitCode == 0, "\(outcome)")
                try settled(workload, world)
            }
        }

        @Test func `both sides' processes may die in the fill`() throws {
            try inTheFill { migration, workload, world in
                try lab.beta.shell("kill -9 \"$(pgrep -f '[i]nternal-session' | head -n 1)\"")
                try migration.signal("KILL")
                #expect(try migration.outcome().exitCode == 137)
                try settled(workload, world)
            }
        }

        /// What it can't write it goes on without: nothing is promised by the records that are missing.
        @Test func `a keeper whose journal's disk is full still completes the container`() throws {
            let folder = "/var/lib/martlet/migrations"
            defer {
                _ = try? lab.beta.run(["sh", "-c", "umount -l \(folder) 2>/dev/null; rm -f /run/lab-filler"])
            }
            try lab.beta.shell("mkdir -p \(folder); mount -t tmpfs -o size=4m lab-journals \(folder)")
            try inTheFill { migration, workload, world in
                try lab.beta.shell(
                    "dd if=/dev/zero of=\(folder)/filler bs=64k 2>/dev/null || true; kill -9 \"$(pgrep -f '[i]nternal-session' | head -n 1)\""
                )
                let outcome = try migration.outcome(within: .seconds(150))
                #expect(outcome.exitCode == 0, "\(outcome)")
                try lab.beta.shell("rm -f \(folder)/filler")
                let host = try world.onlyHost(of: workload.id, within: .seconds(90))
                #expect(host == lab.beta)
                try workload.verify(on: lab.beta)
                try lab.beta.shell("umount -l \(folder)")
            }
        }
    }

    /// A CRIU that outlives `martlet migrate` and does not end by itself.
    @Suite struct OrphanedDumps {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        @Test func `a CRIU that hangs does not keep the container from going on`() throws {
            let workload = Stamper("lab-orphan", megabytes: 32)
            try withWorkload(workload, on: lab.alpha) { world in
                // The source waits for a destination that doesn't restore: CRIU holds the tasks.
                try lab.beta.write("destination.restore.hang", to: "/run/martlet/fault")
                let migration = try Migration(workload.id, from: lab.alpha, to: lab.beta.address)
                try #require(migration.reaches("restore"))
                try lab.alpha.shell("kill -STOP \"$(cut -d ' ' -f 1 /run/martlet/*/criu)\"")
                try migration.signal("KILL")
                #expect(try migration.outcome().exitCode == 137)
                let host = try world.onlyHost(of: workload.id, within: .seconds(60))
                #expect(host == lab.alpha)
                try workload.verify(on: lab.alpha)
                // The session at the destination hangs on purpose, unless it ended: its keeper settles.
                try lab.beta.shell("for p in $(pgrep -f '[i]nternal-session'); do kill -9 $p; done")
                try lab.recover()
                try expectNothingLeft(by: workload, world)
            }
        }
    }
}
