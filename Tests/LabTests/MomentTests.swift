import Host
import LabSupport
import Testing

extension InTheLab {
    /// What comes from outside in the middle of a migration.
    @Suite struct Moments {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        /// Phases that last long enough to do something in them from outside; the others are walked by failure points.
        static let phases = ["prepare", "copy", "freeze", "fill"]

        @Test(arguments: phases)
        func `a link that is cut and comes back leaves exactly one copy`(_ phase: String) throws {
            let workload = Stamper("lab-cut", megabytes: 96)
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try Migration(workload.id, from: lab.alpha, to: lab.beta.address)
                _ = migration.reaches(phase)
                try lab.script("link", ["beta", "--cut"])
                sleepThread(.seconds(3))
                try lab.script("link", ["beta", "--restore"])
                let outcome = try migration.outcome(within: .seconds(300))
                #expect([0, 3, 4, 5].contains(outcome.exitCode), "\(outcome)")
                if outcome.exitCode == 5 { try lab.recover() }
                let host = try world.onlyHost(of: workload.id, within: .seconds(90)) { try lab.recover() }
                if outcome.exitCode == 0 { #expect(host == lab.beta) }
                if [3, 4].contains(outcome.exitCode) { #expect(host == lab.alpha) }
                try workload.verify(on: host)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test(arguments: ["check", "prepare", "copy", "cut", "freeze", "restore", "fill"])
        func `a container that ends by itself is ended everywhere`(_ phase: String) throws {
            let workload = Stamper("lab-ends", megabytes: 48)
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try Migration(workload.id, from: lab.alpha, to: lab.beta.address)
                _ = migration.reaches(phase)
                for host in lab.hosts {
                    _ = try host.run(["sh", "-c", "echo 1 >/sys/fs/cgroup/\(workload.id)/cgroup.kill"])
                }
                let outcome = try migration.outcome(within: .seconds(300))
                if outcome.exitCode == 5 { try lab.recover() }
                let gone: Bool? = try eventually(.seconds(60)) {
                    try lab.hosts.allSatisfy { try HostView(of: $0).life(of: workload.id) == .gone } ? true : nil
                }
                #expect(gone != nil, "a copy lives on after \(outcome)")
                // What runc itself keeps of a container that ended is the user's to delete.
                for host in lab.hosts { _ = try host.run(["runc", "delete", workload.id]) }
                // The namespace was there before the container and belongs to the user.
                let left = try world.leftovers(of: workload.id) {
                    $0.contains("/run/netns/\(workload.id)") || $0.contains("link v-")
                }
                #expect(left == [], "\(outcome)")
            }
        }

        @Test(arguments: ["INT", "TERM"])
        func `an interrupt rolls back`(_ signal: String) throws {
            let workload = Stamper("lab-interrupt", megabytes: 128)
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address, options: ["--bandwidth", "20m"])
                try #require(migration.reaches("copy"))
                try migration.signal(signal)
                try expectStayed(try migration.outcome(), workload, on: lab.alpha, world, codes: [130])
            }
        }

        @Test func `of two migrations of one container the second is refused and the first goes on`() throws {
            let workload = Stamper("lab-twice", megabytes: 96)
            try withWorkload(workload, on: lab.alpha) { world in
                let first = try Migration(workload.id, from: lab.alpha, to: lab.beta.address, options: ["--bandwidth", "40m"])
                try #require(first.reaches("copy"))
                let second = try lab.migrate(workload.id, from: lab.alpha)
                #expect(second.exitCode == 3, "\(second)")
                try expectMoved(try first.outcome(), workload, to: lab.beta, world)
                try expectNothingLeft(by: workload, world)
            }
        }

        /// What has its connections goes on; what needs a new one rolls back.
        @Test func `an agent that is killed in the middle costs no copy`() throws {
            let workload = Stamper("lab-agent", megabytes: 96)
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address, options: ["--bandwidth", "40m"])
                try #require(migration.reaches("copy"))
                try lab.beta.shell("kill -9 \"$(cat /run/martlet-agent.pid)\"")
                let outcome = try migration.outcome()
                try lab.up()
                try lab.recover()
                #expect([0, 4].contains(outcome.exitCode), "\(outcome)")
                let host = outcome.exitCode == 0 ? lab.beta : lab.alpha
                try expectOnly(workload, on: host, world)
                try workload.verify(on: host)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `time that is over rolls back`() throws {
            let workload = Stamper("lab-timeout", megabytes: 128)
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome = try lab.migrate(workload.id, from: lab.alpha, options: ["--timeout", "2", "--bandwidth", "5m"])
                try expectStayed(outcome, workload, on: lab.alpha, world, codes: [4])
            }
        }
    }
}
