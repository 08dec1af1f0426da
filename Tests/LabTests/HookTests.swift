import Host
import LabSupport
import Testing

extension InTheLab {
    /// What a bundle asks of its runtime beside running a program.
    @Suite struct Bundles {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        private static let log = "/run/lab-hooks"
        /// Every hook writes its name, and the container's id and status as the runtime tells them.
        private static let hooks = """
            def hook($name): {path: "/bin/sh", args: ["sh", "-c", "echo \\($name) $(jq -r '.id + \\" \\" + .status') >>\(log)"]};
            .hooks = {prestart: [hook("prestart")], createRuntime: [hook("createRuntime")], poststart: [hook("poststart")],
                poststop: [hook("poststop")]}
            """

        private func takeLog(_ host: LabHost) throws -> [String] {
            try host.shell("cat \(Self.log) 2>/dev/null || true; rm -f \(Self.log)").split(separator: "\n").map(String.init)
        }

        @Test func `hooks run as a checkpoint and a restore by runc run them`() throws {
            let workload = Holder("lab-hooks", configuration: Self.hooks)
            defer { for host in lab.hosts { _ = try? takeLog(host) } }
            for host in lab.hosts { _ = try takeLog(host) }
            try withWorkload(workload, on: lab.alpha) { world in
                let atStart = try takeLog(lab.alpha).map { $0.split(separator: " ")[0] }
                #expect(atStart == ["prestart", "createRuntime", "poststart"])
                // The measure: what stock runc does.
                try lab.alpha.shell(
                    "runc checkpoint --image-path /run/lab-images lab-hooks >/dev/null 2>&1 </dev/null")
                let checkpointed = try takeLog(lab.alpha)
                try lab.alpha.shell(
                    "runc restore -d --bundle /data/lab-hooks --image-path /run/lab-images lab-hooks >/dev/null 2>&1 </dev/null; rm -rf /run/lab-images"
                )
                let restored = try takeLog(lab.alpha)
                #expect(restored.map { $0.split(separator: " ")[0] }.starts(with: ["prestart", "createRuntime"]), "\(restored)")
                try workload.verify(on: lab.alpha)

                try expectMoved(try lab.migrate(workload.id, from: lab.alpha), workload, to: lab.beta, world)
                #expect(try takeLog(lab.beta) == restored)
                #expect(try takeLog(lab.alpha) == checkpointed)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `a hook that fails at the destination rolls the move back`() throws {
            let workload = Holder(
                "lab-hooks",
                configuration: #".hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "test ! -e /run/lab-refuse"]}]"#)
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.beta.shell("touch /run/lab-refuse")
                defer { _ = try? lab.beta.shell("rm -f /run/lab-refuse") }
                let outcome = try lab.migrate(workload.id, from: lab.alpha)
                try lab.beta.shell("rm -f /run/lab-refuse")
                try expectStayed(outcome, workload, on: lab.alpha, world, codes: [4])
                try expectMoved(try lab.migrate(workload.id, from: lab.alpha), workload, to: lab.beta, world)
            }
        }

        /// 80 MiB are more than Martlet's own limit, and the file of options is only on the source.
        @Test func `the container's own CRIU options are honoured, and those that Martlet decides are told`() throws {
            let workload = Holder(
                "lab-options", "ghost 80", configuration: #".annotations["org.criu.config"] = "/run/lab-criu.conf""#)
            try withWorkload(workload, on: lab.alpha) { world in
                let refused = try lab.migrate(workload.id, from: lab.alpha)
                #expect(refused.exitCode == 3 && refused.events.contains { $0.code == "ghost-file-too-large" }, "\(refused)")
                try lab.alpha.shell(
                    "printf 'ghost-limit 128M\\nnetwork-lock iptables\\nmanage-cgroups full\\n' >/run/lab-criu.conf")
                defer { for host in lab.hosts { _ = try? host.shell("rm -f /run/lab-criu.conf") } }
                let check = try lab.alpha.run(["martlet", "check", workload.id, "--to", lab.beta.address, "--json"])
                #expect(check.status.isSuccess && check.outputText.contains("criu-option-ignored"), "\(check.outputText)")
                #expect(check.outputText.contains("network-lock iptables"))
                try expectMoved(try lab.migrate(workload.id, from: lab.alpha), workload, to: lab.beta, world)
            }
        }
    }
}
