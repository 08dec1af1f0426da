import Host
import LabSupport
import Testing

extension InTheLab {
    /// Destinations of the form ssh://, with no agent on either host.
    @Suite struct OverSSH {
        let lab: Lab
        init() throws { lab = try InTheLab.readyWithoutAgents() }

        @Test(arguments: [Kind.redis, .tiny])
        func `a workload under load moves forth and back, and nothing of ours stays`(_ kind: Kind) throws {
            let workload = kind.make()
            try withWorkload(workload, on: lab.alpha) { world in
                if kind.takesLoad { try workload.beginLoad() }
                for destination in [lab.beta, lab.alpha] {
                    let outcome = try lab.moveBySSH(workload, from: lab.other(destination))
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
                let check = try lab.alpha.run(["martlet", "check", workload.id, "--to", lab.ssh(lab.beta)])
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
                let outcome = try? lab.moveBySSH(workload, from: lab.alpha)
                for host in lab.hosts { try host.shell("mv /run/lab-credentials /etc/martlet") }
                try lab.beta.shell("sed -i '/Welcome to beta/d' /root/.bashrc")
                try expectMoved(try #require(outcome), workload, to: lab.beta, world)
                try expectNothingLeft(by: workload, world)
            }
        }

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
                    refused = try lab.moveBySSH(workload, from: lab.alpha)
                    moved = try lab.moveBySSH(workload, from: lab.alpha, options: ["--copy-binary"])
                    #expect(try lab.beta.shell("ls /usr/local/lib/martlet").hasPrefix("copy-"))
                    // Where it is once it is found without being asked for.
                    try other.start(on: lab.alpha)
                    found = try lab.alpha.run(["martlet", "check", other.id, "--to", lab.ssh(lab.beta)])
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

extension InTheLab {
    /// In order, but with nothing of ours running: sshd is all there is.
    static func readyWithoutAgents() throws -> Lab {
        let lab = try ready()
        for host in lab.hosts {
            try host.shell(
                """
                p=$(cat /run/martlet-agent.pid 2>/dev/null) && kill "$p" 2>/dev/null || exit 0
                for i in $(seq 200); do [ -d "/proc/$p" ] || break; sleep 0.02; done; rm -f /run/martlet-agent.pid
                """)
            // A host's first login leaves things of the login's own (/run/motd.dynamic), which are not ours.
            try lab.other(host).shell("ssh -o BatchMode=yes root@\(host.address) true </dev/null")
        }
        return lab
    }
}

extension Lab {
    func ssh(_ host: LabHost) -> String { "ssh://root@\(host.address)" }

    func moveBySSH(
        _ workload: any Workload, from host: LabHost, to destination: String? = nil, options: [String] = []
    ) throws -> Migration.Outcome {
        try Migration(workload.id, from: host, to: destination ?? ssh(other(host)), options: options).outcome()
    }
}
