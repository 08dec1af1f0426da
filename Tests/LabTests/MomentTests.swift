import Host
import LabSupport
import Testing

extension InTheLab {
    /// What comes from outside in the middle of a migration.
    @Suite struct Moments {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        @Test func `of two migrations of one container the second is refused and the first goes on`() throws {
            let workload = Stamper("lab-twice", megabytes: 96)
            try withWorkload(workload, on: lab.alpha) { world in
                let first = try Migration(workload.id, from: lab.alpha, to: lab.beta.address, options: ["--bandwidth", "40m"])
                try #require(first.reaches("copy"))
                let second = try lab.migrate(workload.id, from: lab.alpha)
                #expect(second.exitCode == 3, "\(second)")
                #expect(second.report?.error?.why.contains("under way") == true, "\(second)")
                try expectMoved(try first.outcome(), workload, to: lab.beta, world)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `two containers move at the same time`() throws {
            let first = Stamper("lab-pair-a", megabytes: 48), second = Stamper("lab-pair-b", megabytes: 48, address: "10.77.1.16")
            try withWorkload(first, on: lab.alpha) { _ in
                try withWorkload(second, on: lab.alpha) { world in
                    let migrations = try [first, second].map { try Migration($0.id, from: lab.alpha, to: lab.beta.address) }
                    for (workload, migration) in zip([first, second], migrations) {
                        try expectMoved(try migration.outcome(), workload, to: lab.beta, world)
                    }
                }
            }
        }

        @Test func `two containers cross each other`() throws {
            let east = Stamper("lab-cross-a", megabytes: 48), west = Stamper("lab-cross-b", megabytes: 48, address: "10.77.1.16")
            try withWorkload(east, on: lab.alpha) { _ in
                try withWorkload(west, on: lab.beta) { world in
                    let eastward = try Migration(east.id, from: lab.alpha, to: lab.beta.address)
                    let westward = try Migration(west.id, from: lab.beta, to: lab.alpha.address)
                    try expectMoved(try eastward.outcome(), east, to: lab.beta, world)
                    try expectMoved(try westward.outcome(), west, to: lab.alpha, world)
                }
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
