import Host
import LabSupport
import Testing

extension InTheLab {
    /// What ssh says no to, and what is said of it.
    @Suite struct SSHRefusals {
        let lab: Lab
        init() throws { lab = try InTheLab.readyWithoutAgents() }

        /// A container that stays where it is when `prepare` has made something wrong, and why in words.
        private func stays(
            to destination: String? = nil, says words: [String], after prepare: () throws -> Void, mend: () throws -> Void
        ) throws {
            let workload = Tiny("lab-ssh-stays")
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome: Migration.Outcome
                do {
                    try prepare()
                    outcome = try lab.moveBySSH(workload, from: lab.alpha, to: destination)
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
    }
}
