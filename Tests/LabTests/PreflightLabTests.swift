import Host
import LabSupport
import Testing

extension InTheLab {
    /// What stands in the way, made for real or pretended (`Pretence`): found by `check`, refused by `migrate`, nothing touched.
    @Suite struct Refusals {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        struct Case: Sendable, CustomTestStringConvertible {
            var code: String
            var words = "nothing"
            var is32Bit = false
            var options = ["--network", "none"]
            var configuration: String?
            /// Lines of shell on a host, and how they are undone.
            var alpha: (String, String)?
            var beta: (String, String)?
            /// Words in the host's file of pretences.
            var pretence: (host: String, words: String)?
            var testDescription: String { "\(code) \(pretence?.words ?? words)" }
        }

        /// Inside the container or around it.
        static let containers: [Case] = [
            Case(code: "io-uring", words: "io_uring"),
            Case(
                code: "device-open", words: "device /dev/kmsg",
                configuration: """
                    .linux.devices += [{"path":"/dev/kmsg","type":"c","major":1,"minor":11,"fileMode":438,"uid":0,"gid":0}]
                    | .linux.resources.devices = [{"allow":true,"access":"rwm"}]
                    """),
            Case(code: "socket-unsupported", words: "socket 40 1 0"),
            Case(code: "task-32bit", is32Bit: true),
            Case(code: "ghost-file-too-large", words: "ghost 80"),
            Case(
                code: "unix-outside", words: "unix /host/socket",
                configuration:
                    #".mounts += [{"destination":"/host","source":"/run/lab-unix","type":"bind","options":["bind","rw"]}]"#,
                alpha: (
                    "mkdir -p /run/lab-unix; (setsid nc -lkU /run/lab-unix/socket >/dev/null 2>&1 </dev/null & echo $! >/run/lab-unix/pid); sleep 0.5",
                    "kill \"$(cat /run/lab-unix/pid)\"; rm -rf /run/lab-unix"
                ), beta: ("mkdir -p /run/lab-unix", "rm -rf /run/lab-unix")),
            Case(
                code: "bind-missing",
                configuration:
                    #".mounts += [{"destination":"/host","source":"/run/lab-bind","type":"bind","options":["bind","rw"]}]"#,
                alpha: ("mkdir -p /run/lab-bind", "rm -rf /run/lab-bind")),
            Case(
                code: "address-taken", options: ["--ip", "10.77.1.77"],
                beta: (
                    "ip netns add lab-rival; ip link add v-rival type veth peer name eth0 netns lab-rival; ip link set v-rival master br0; ip -n lab-rival addr add 10.77.1.77/24 dev eth0",
                    "ip netns delete lab-rival"
                )),
            Case(
                code: "address-taken", options: ["--ip", "10.77.1.77"],
                beta: ("ip addr add 10.77.1.77/32 dev br0", "ip addr del 10.77.1.77/32 dev br0")),
            Case(
                code: "netns-taken", options: ["--ip", "10.77.1.77"],
                beta: ("ip netns add lab-refused", "ip netns delete lab-refused")),
        ]

        /// What is wrong with a host.
        static let hosts: [Case] = [
            Case(code: "kernel-too-old", pretence: ("alpha", "kernel=5.4.0")),
            Case(code: "kernel-too-old", pretence: ("beta", "kernel=5.4.0")),
            Case(code: "feature-missing", pretence: ("beta", "cgroup2")),
            Case(code: "cpu-flags-missing", pretence: ("beta", "cpu-without=sse2")),
            Case(code: "architecture-differs", pretence: ("beta", "architecture=aarch64")),
            Case(code: "disk-short", pretence: ("beta", "disk=1")),
            Case(code: "memory-short", pretence: ("beta", "memory=0")),
            Case(code: "memory-short", pretence: ("beta", "memory=16 disk=16")),
            Case(code: "restore-unheld", pretence: ("beta", "library")),
        ]

        @Test(arguments: containers + hosts)
        func `what stands in the way is found by check, refused by migrate, and nothing is touched`(_ one: Case) throws {
            let workload = Holder(
                "lab-refused", one.words, is32Bit: one.is32Bit, options: one.options, configuration: one.configuration)
            defer {
                if let alpha = one.alpha { _ = try? lab.alpha.shell(alpha.1) }
                if let beta = one.beta { _ = try? lab.beta.shell(beta.1) }
                pretend("", for: one)
            }
            if let alpha = one.alpha { try lab.alpha.shell(alpha.0) }
            try withWorkload(workload, on: lab.alpha) { world in
                if let beta = one.beta { try lab.beta.shell(beta.0) }
                pretend(one.pretence?.words ?? "", for: one)
                let before = try traces()
                let check = try lab.alpha.run(["martlet", "check", workload.id, "--to", lab.beta.address, "--json"])
                #expect(
                    check.status == .exited(3) && check.outputText.contains("\"code\":\"\(one.code)\""), "\(check.outputText)")
                let outcome = try lab.migrate(workload.id, from: lab.alpha)
                #expect(outcome.exitCode == 3 && outcome.report?.outcome == "refused", "\(outcome)")
                let found = try #require(outcome.events.first { $0.code == one.code }, "\(outcome)")
                #expect(found.severity == "blocker" && found.what?.isEmpty == false)
                #expect(found.why?.isEmpty == false && found.hint?.isEmpty == false, "\(found)")
                #expect(try traces() == before, "nothing of Martlet's is on either host that was not there")
                try expectOnly(workload, on: lab.alpha, world)
                try workload.verify(on: lab.alpha)
            }
        }

        private func pretend(_ words: String, for one: Case) {
            guard let pretence = one.pretence else { return }
            InTheLab.pretend(words, on: pretence.host == "alpha" ? lab.alpha : lab.beta)
        }

        /// Journals, runtime folders, frozen cgroups.
        private func traces() throws -> String {
            try lab.hosts.map { host in
                try host.shell(
                    """
                    find /var/lib/martlet /run/martlet -mindepth 1 ! -name '*probe*' ! -name pretend ! -path '*/sessions/*' ! -path '*/locks*' \
                        2>/dev/null | sort
                    grep -l 'frozen 1' /sys/fs/cgroup/*/cgroup.events 2>/dev/null || true
                    """)
            }.joined(separator: "\n")
        }

        @Test func `a container with a terminal is refused`() throws {
            let workload = Holder("lab-refused", configuration: ".process.terminal = true")
            try withWorkload(Removed(workload), on: lab.alpha) { world in
                try workload.makeBundle(on: lab.alpha)
                let console = try lab.alpha.start([
                    "python3", "-c",
                    """
                    import socket, time
                    server = socket.socket(socket.AF_UNIX)
                    server.bind('/run/lab-console')
                    server.listen()
                    print('ready', flush=True)
                    connection, _ = server.accept()
                    held = socket.recv_fds(connection, 100, 1)
                    time.sleep(1000)
                    """,
                ])
                defer {
                    console.stop()
                    _ = try? lab.alpha.shell("rm -f /run/lab-console; runc delete -f lab-refused")
                }
                try #require(console.line(within: .seconds(20)) { $0 == "ready" } != nil)
                try lab.alpha.shell("runc run -d --console-socket /run/lab-console --bundle /data/lab-refused lab-refused")
                try workload.verify(on: lab.alpha)
                let outcome = try lab.migrate(workload.id, from: lab.alpha)
                #expect(outcome.exitCode == 3 && outcome.events.contains { $0.code == "terminal" }, "\(outcome)")
                try workload.verify(on: lab.alpha)
                try expectOnly(workload, on: lab.alpha, world)
            }
        }

        @Test func `a name that is taken at the destination is refused`() throws {
            let workload = Holder("lab-refused")
            try withWorkload(workload, on: lab.alpha) { _ in
                let other = Holder("lab-refused")
                try other.start(on: lab.beta)
                let outcome = try lab.migrate(workload.id, from: lab.alpha)
                #expect(outcome.exitCode == 3 && outcome.events.contains { $0.code == "id-taken" }, "\(outcome)")
                #expect(outcome.events.contains { $0.code == "bundle-taken" }, "\(outcome)")
                try workload.verify(on: lab.alpha)
                try other.verify(on: lab.beta)
            }
        }

        @Test(arguments: ["alpha", "beta"])
        func `a CRIU that is too old is refused`(_ name: String) throws {
            let host = name == "alpha" ? lab.alpha : lab.beta
            let workload = Holder("lab-refused")
            try withWorkload(workload, on: lab.alpha) { world in
                try host.install(lab.support("oldcriu.py"), at: "/usr/local/sbin/criu", executable: true)
                defer { _ = try? host.shell("rm -f /usr/local/sbin/criu") }
                let outcome = try lab.migrate(workload.id, from: lab.alpha)
                #expect(outcome.exitCode == 3, "\(outcome)")
                let found = try #require(outcome.events.first { $0.code == "criu-too-old" }, "\(outcome)")
                #expect(found.what?.contains("3.17") == true && found.what?.contains(name) == true, "\(found)")
                try expectOnly(workload, on: lab.alpha, world)
            }
        }

        @Test func `connections that will be closed are a warning, unless it was asked for`() throws {
            let workload = Holder("lab-warned", "loopback", options: ["--network", "host"])
            try withWorkload(workload, on: lab.alpha) { world in
                func codes(_ options: [String]) throws -> (Host.ExitStatus, String) {
                    let run = try lab.alpha.run(["martlet", "check", workload.id, "--to", lab.beta.address, "--json"] + options)
                    return (run.status, run.outputText)
                }
                let plain = try codes([])
                #expect(plain.0 == .exited(0) && plain.1.contains("\"code\":\"connections-closed\""), "\(plain)")
                let asked = try codes(["--tcp-close"])
                #expect(asked.0 == .exited(0) && !asked.1.contains("connections-closed"), "\(asked)")
                try expectOnly(workload, on: lab.alpha, world)
            }
        }
    }

    /// Writes a host's file of pretences; no words remove it.
    static func pretend(_ words: String, on host: LabHost) {
        _ = try? host.shell(
            words.isEmpty ? "rm -f /run/martlet/pretend" : "mkdir -p /run/martlet; echo '\(words)' >/run/martlet/pretend")
    }
}

/// A workload that the test starts itself.
private final class Removed: Workload {
    private let inner: any Workload
    var id: String { inner.id }
    init(_ inner: any Workload) { self.inner = inner }
    func start(on host: LabHost) throws {}
    func beginLoad() throws {}
    func endLoad() throws {}
    func verify(on host: LabHost) throws { try inner.verify(on: host) }
}
