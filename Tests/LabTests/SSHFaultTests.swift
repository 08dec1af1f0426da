import Host
import LabSupport
import Testing

extension InTheLab {
    /// What breaks in the middle of a move over ssh.
    @Suite struct SSHFaults {
        let lab: Lab
        init() throws { lab = try InTheLab.readyWithoutAgents() }

        /// Ends the ssh processes of the source, as a dead link or an administrator would.
        private func killSSH(on host: LabHost) throws { try host.shell("kill -9 $(pgrep -x ssh)") }

        @Test func `ssh that is killed in the copy is dialled again, unless that is not wished`() throws {
            let workload = Stamper("lab-ssh-copy", megabytes: 96)
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.ssh(lab.beta), options: ["--bandwidth", "30m", "--retry-for", "0"])
                try #require(migration.reaches("copy"))
                try killSSH(on: lab.alpha)
                try expectStayed(try migration.outcome(), workload, on: lab.alpha, world, codes: [4])
                let patient = try Migration(
                    workload.id, from: lab.alpha, to: lab.ssh(lab.beta),
                    options: ["--bandwidth", "30m", "--downtime-limit", "3000"])
                try #require(patient.reaches("copy"))
                try killSSH(on: lab.alpha)
                let outcome = try patient.outcome()
                try expectMoved(outcome, workload, to: lab.beta, world)
                #expect(outcome.events.contains { $0.text?.contains("is there again") == true }, "\(outcome)")
            }
        }

        /// A hybrid migration of a busy program over a slow link, in the fill, which then takes seconds.
        private func inTheFill(_ body: (Migration, Stamper, World) throws -> Void) throws {
            let workload = Stamper("lab-ssh-fill", megabytes: 64)
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.script("link", ["alpha", "--rate", "200mbit"])
                defer { _ = try? lab.script("link", ["alpha", "--clear"]) }
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.ssh(lab.beta), options: ["--method", "hybrid", "--compress", "none"])
                try #require(migration.reaches("fill"))
                try body(migration, workload, world)
                let host = try world.onlyHost(of: workload.id, within: .seconds(90)) { try lab.recover() }
                #expect(host == lab.beta)
                try workload.verify(on: lab.beta)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `ssh that is killed in the fill ends neither the container nor the fill`() throws {
            try inTheFill { migration, workload, world in
                try killSSH(on: lab.alpha)
                #expect(try HostView(of: lab.beta).life(of: workload.id) == .running)
                let outcome = try migration.outcome(within: .seconds(150))
                #expect(outcome.exitCode == 0, "\(outcome)")
            }
        }

        @Test func `sshd's processes that are killed in the fill don't either`() throws {
            try inTheFill { migration, workload, world in
                // The listener stays; the processes of logins go, with what runs in them.
                try lab.beta.shell(
                    "for p in $(pgrep -f '[s]shd-session:|[s]shd: root|[m]artlet internal-ssh'); do kill -9 $p 2>/dev/null || true; done"
                )
                let outcome = try migration.outcome(within: .seconds(150))
                #expect(outcome.exitCode == 0, "\(outcome)")
            }
        }

        @Test func `recover dials by ssh, from what the journal says`() throws {
            try inTheFill { migration, workload, world in
                let guardian = try lab.alpha.shell("pgrep -f '[i]nternal-guardian' | head -n 1").filter(\.isNumber)
                try lab.alpha.shell("kill -9 \(guardian)")
                try migration.signal("KILL")
                #expect(try migration.outcome().exitCode == 137)
                let status = try lab.alpha.run(["martlet", "status"]).outputText
                #expect(status.contains(lab.ssh(lab.beta)), "\(status)")
                let recover = try lab.alpha.run(["martlet", "recover"], timeout: .seconds(120))
                #expect(recover.status.isSuccess, "\(recover.outputText)\(recover.errorText)")
            }
        }

        @Test func `the keeper of a session that was killed is found by the next login`() throws {
            try inTheFill { migration, workload, world in
                try lab.beta.shell("kill -9 \"$(pgrep -f '[i]nternal-session' | head -n 1)\"")
                let outcome = try migration.outcome(within: .seconds(150))
                #expect(outcome.exitCode == 0, "\(outcome)")
            }
        }

        @Test func `ssh that is killed behind the decision of a pre-copy costs a moment`() throws {
            let workload = Stamper("lab-ssh-release", megabytes: 32)
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.ssh(lab.beta), options: ["--method", "pre-copy"],
                    fault: "source.release.hold")
                try #require(try Migration.isHeld(on: lab.alpha))
                try killSSH(on: lab.alpha)
                try Migration.letGo(on: lab.alpha)
                try expectMoved(try migration.outcome(), workload, to: lab.beta, world)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `a session and its keeper that are killed in the copy roll back`() throws {
            let workload = Stamper("lab-ssh-dead", megabytes: 96)
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.ssh(lab.beta), options: ["--bandwidth", "30m"])
                try #require(migration.reaches("copy"))
                try lab.beta.shell("kill -9 $(pgrep -f '[i]nternal-keeper|[i]nternal-session')")
                try expectStayed(try migration.outcome(), workload, on: lab.alpha, world, codes: [4])
            }
        }

        /// Where a wrong step would cost a copy or make a second one; the walk over TLS has all points.
        @Test(arguments: [
            "source.copy.kill", "source.copy.cut-link", "source.restore.cut-link", "source.decide.cut-link",
            "source.release.cut-link",
            "source.release.kill",
            "destination.copy.kill", "destination.decide.kill", "destination.release.kill", "destination.fill.cut-link",
        ])
        func `after a fault exactly one copy runs, with its data`(_ point: String) throws {
            let workload = Redis("lab-ssh-faults", memory: "24M", pause: 0.002)
            try withWorkload(workload, on: lab.alpha) { world in
                try workload.beginLoad()
                let isSource = point.hasPrefix("source")
                if !isSource { try lab.beta.write(point, to: "/run/martlet/fault") }
                let outcome = try Migration(
                    workload.id, from: lab.alpha, to: lab.ssh(lab.beta), fault: isSource ? point : nil
                ).outcome()
                let host = try world.onlyHost(of: workload.id, within: .seconds(90)) { try lab.recover() }
                switch outcome.exitCode {
                case 0: #expect(host == lab.beta, "it said migrated")
                case 3, 4: #expect(host == lab.alpha, "it said that the source runs on\n\(outcome)")
                case 5, 137: break
                default: Issue.record("\(outcome)")
                }
                if isSource {
                    #expect(outcome.errors.contains("fault: \(point)"), "it was not reached: \(outcome)")
                } else {
                    try lab.beta.shell("cat /var/lib/martlet/migrations/*/session.log | grep -aqF 'fault: \(point)'")
                }
                try workload.endLoad()
                try workload.verify(on: host)
                try expectNothingLeft(by: workload, world)
            }
        }
    }
}
