import Host
import LabSupport
import Testing

extension InTheLab {
    /// Destinations of the form ssh://, with no agent on either host.
    @Suite struct OverSSH {
        let lab: Lab
        init() throws {
            lab = try InTheLab.ready()
            for host in lab.hosts {
                try stopAgent(host)
                // A host's first login leaves things of the login's own (/run/motd.dynamic), which are not ours.
                try lab.other(host).shell("ssh -o BatchMode=yes root@\(host.address) true </dev/null")
            }
        }

        private func stopAgent(_ host: LabHost) throws {
            try host.shell(
                """
                p=$(cat /run/martlet-agent.pid 2>/dev/null) && kill "$p" 2>/dev/null || exit 0
                for i in $(seq 200); do [ -d "/proc/$p" ] || break; sleep 0.02; done; rm -f /run/martlet-agent.pid
                """)
        }

        private func address(_ host: LabHost) -> String { "ssh://root@\(host.address)" }

        private func move(
            _ workload: any Workload, from host: LabHost, to destination: String? = nil, options: [String] = [],
            within limit: Duration = .seconds(180)
        ) throws -> Migration.Outcome {
            try Migration(workload.id, from: host, to: destination ?? address(lab.other(host)), options: options)
                .outcome(within: limit)
        }

        /// Ends the ssh processes of the source, as a dead link or an administrator would.
        private func killSSH(on host: LabHost) throws { try host.shell("kill -9 $(pgrep -x ssh)") }

        @Test(arguments: [Kind.redis, .tiny])
        func `a workload under load moves forth and back, and nothing of ours stays`(_ kind: Kind) throws {
            let workload = kind.make()
            try withWorkload(workload, on: lab.alpha) { world in
                if kind.takesLoad { try workload.beginLoad() }
                for destination in [lab.beta, lab.alpha] {
                    let outcome = try move(workload, from: lab.other(destination))
                    try expectMoved(outcome, workload, to: destination, world)
                }
                if kind.takesLoad { try workload.endLoad() }
                try workload.verify(on: lab.alpha)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `a check touches nothing`() throws {
            let workload = Tiny("lab-ssh-dry")
            try withWorkload(workload, on: lab.alpha) { world in
                let check = try lab.alpha.run(["martlet", "check", workload.id, "--to", address(lab.beta)])
                #expect(check.status.isSuccess, "\(check.outputText)\(check.errorText)")
                try expectOnly(workload, on: lab.alpha, world)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `certificates are not asked for, and a login may print what it likes`() throws {
            let workload = Tiny("lab-ssh-bare")
            try withWorkload(workload, on: lab.alpha) { world in
                for host in lab.hosts { try host.shell("mv /etc/martlet /run/lab-credentials") }
                try lab.beta.shell("echo 'echo Welcome to beta; echo and >&2' >>/root/.bashrc")
                let outcome = try? move(workload, from: lab.alpha)
                for host in lab.hosts { try host.shell("mv /run/lab-credentials /etc/martlet") }
                try lab.beta.shell("sed -i '/Welcome to beta/d' /root/.bashrc")
                try expectMoved(try #require(outcome), workload, to: lab.beta, world)
                try expectNothingLeft(by: workload, world)
            }
        }

        // MARK: ssh ends

        @Test func `ssh that is killed in the copy rolls back`() throws {
            let workload = Stamper("lab-ssh-copy", megabytes: 96)
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: address(lab.beta), options: ["--bandwidth", "30m"])
                try #require(migration.reaches("copy"))
                try killSSH(on: lab.alpha)
                try expectStayed(try migration.outcome(), workload, on: lab.alpha, world, codes: [4])
                try expectMoved(try move(workload, from: lab.alpha), workload, to: lab.beta, world)
            }
        }

        /// A hybrid migration of a busy program over a slow link, in the fill, which then takes seconds.
        private func inTheFill(_ body: (Migration, Stamper, World) throws -> Void) throws {
            let workload = Stamper("lab-ssh-fill", megabytes: 64)
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.script("link", ["alpha", "--rate", "200mbit"])
                defer { _ = try? lab.script("link", ["alpha", "--clear"]) }
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: address(lab.beta), options: ["--method", "hybrid", "--compress", "none"])
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
                #expect(status.contains(address(lab.beta)), "\(status)")
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
                    workload.id, from: lab.alpha, to: address(lab.beta), options: ["--method", "pre-copy"],
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
                    workload.id, from: lab.alpha, to: address(lab.beta), options: ["--bandwidth", "30m"])
                try #require(migration.reaches("copy"))
                try lab.beta.shell("kill -9 $(pgrep -f '[i]nternal-keeper|[i]nternal-session')")
                try expectStayed(try migration.outcome(), workload, on: lab.alpha, world, codes: [4])
            }
        }

        /// Where a wrong step would cost a copy or make a second one; the walk over TLS has all points.
        @Test(arguments: [
            "source.copy.kill", "source.restore.cut-link", "source.decide.cut-link", "source.release.cut-link",
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
                    workload.id, from: lab.alpha, to: address(lab.beta), fault: isSource ? point : nil
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

        // MARK: words

        /// A container that stays where it is when `prepare` has made something wrong, and why in words.
        private func stays(
            to destination: String? = nil, says words: [String], after prepare: () throws -> Void, mend: () throws -> Void
        ) throws {
            let workload = Tiny("lab-ssh-stays")
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome: Migration.Outcome
                do {
                    try prepare()
                    outcome = try move(workload, from: lab.alpha, to: destination)
                } catch {
                    try mend()
                    throw error
                }
                try mend()
                try expectStayed(outcome, workload, on: lab.alpha, world, codes: [3])
                let error = outcome.report?.error.map { "\($0.what) \($0.why) \($0.hint)" } ?? ""
                for word in words { #expect(error.contains(word), "\(outcome)") }
            }
        }

        @Test func `a host key that is another one is ssh's to refuse`() throws {
            try stays(
                says: ["Host key verification failed", "ssh root@"],
                after: {
                    try lab.alpha.shell(
                        """
                        cp -a /root/.ssh/known_hosts /run/lab-known
                        ssh-keygen -q -t ed25519 -N '' -f /run/lab-other
                        sed 's/^/* /' /run/lab-other.pub >/root/.ssh/known_hosts
                        """)
                }, mend: { try lab.alpha.shell("mv /run/lab-known /root/.ssh/known_hosts; rm -f /run/lab-other*") })
        }

        @Test func `a host that nobody knows is not trusted`() throws {
            try stays(
                says: ["Host key verification failed"],
                after: { try lab.alpha.shell("mv /root/.ssh/known_hosts /run/lab-known") },
                mend: { try lab.alpha.shell("mv /run/lab-known /root/.ssh/known_hosts") })
        }

        @Test func `a user without a key is refused in ssh's words`() throws {
            try stays(to: "ssh://nobody@\(lab.beta.address)", says: ["Permission denied", "ssh-copy-id"], after: {}, mend: {})
        }

        @Test func `a user who is not root is told so`() throws {
            try stays(
                to: "ssh://lab-guest@\(lab.beta.address)", says: ["needs root", "ssh://root@"],
                after: {
                    try lab.beta.shell(
                        """
                        useradd -m -s /bin/sh lab-guest; usermod -p '*' lab-guest
                        install -d -m 700 -o lab-guest /home/lab-guest/.ssh
                        install -m 600 -o lab-guest /root/.ssh/authorized_keys /home/lab-guest/.ssh/authorized_keys
                        """)
                }, mend: { try lab.beta.shell("userdel -rf lab-guest 2>/dev/null || true; rm -rf /home/lab-guest") })
        }

        @Test func `a host without ssh's client, a host without sshd, a host that is none`() throws {
            try stays(
                says: ["no ssh on this host", "openssh-client"],
                after: { try lab.alpha.shell("mv /usr/bin/ssh /usr/bin/ssh.away") },
                mend: { try lab.alpha.shell("mv /usr/bin/ssh.away /usr/bin/ssh") })
            try stays(to: "ssh://root@\(lab.beta.address):2", says: ["refused", "sshd"], after: {}, mend: {})
            try stays(to: "ssh://root@nowhere.invalid", says: ["resolve", "name"], after: {}, mend: {})
        }

        @Test func `a wrong form is bad usage`() throws {
            for words in [
                ["--to", "ssh://"], ["--to", "ssh://root:secret@beta"], ["--to", "ssh://beta/x"], ["--to", "ssh://beta:0"],
                ["--to", "ssh://-oProxyCommand=x"], ["--to", lab.beta.address, "--copy-binary"],
            ] {
                for command in ["migrate", "check"] {
                    let run = try lab.alpha.run(["martlet", command, "nobody"] + words)
                    #expect(run.status == .exited(2) && !run.errorText.isEmpty, "\(words): \(run.status) \(run.errorText)")
                }
            }
        }

        // MARK: the program

        @Test func `without martlet there are words, and --copy-binary brings it`() throws {
            let workload = Redis("lab-ssh-bring", memory: "32M"), other = Tiny("lab-ssh-other")
            try withWorkload(workload, on: lab.alpha) { world in
                var refused: Migration.Outcome?
                var moved: Migration.Outcome?
                var found: CapturedRun?
                try lab.beta.shell(
                    """
                    mkdir /run/lab-away; mv /usr/local/bin/martlet /run/lab-away/program; mv /usr/local/lib/martlet /run/lab-away/libs
                    mv /usr/local/lib/swift /run/lab-away/swift; ldconfig
                    """)
                do {
                    defer {
                        _ = try? lab.beta.shell(
                            """
                            rm -rf /usr/local/lib/martlet; cd /run/lab-away; mv program /usr/local/bin/martlet
                            mv libs /usr/local/lib/martlet; mv swift /usr/local/lib/swift; cd /; rmdir /run/lab-away; ldconfig
                            """)
                    }
                    refused = try move(workload, from: lab.alpha)
                    moved = try move(workload, from: lab.alpha, options: ["--copy-binary"])
                    #expect(try lab.beta.shell("ls /usr/local/lib/martlet").hasPrefix("copy-"))
                    // Where it is once it is found without being asked for.
                    try other.start(on: lab.alpha)
                    found = try lab.alpha.run(["martlet", "check", other.id, "--to", address(lab.beta)])
                    try other.remove()
                }
                let error = try #require(refused?.report?.error)
                #expect(refused?.exitCode == 3 && error.why.contains("not installed") && error.hint.contains("--copy-binary"))
                try expectMoved(try #require(moved), workload, to: lab.beta, world)
                #expect(found?.status.isSuccess == true, "\(found?.outputText ?? "")\(found?.errorText ?? "")")
                try expectNothingLeft(by: workload, world)
            }
        }
    }
}
