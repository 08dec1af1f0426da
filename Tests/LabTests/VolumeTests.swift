import Host
import LabSupport
import Testing

extension InTheLab {
    /// A shell that counts into a folder of the host, bind-mounted at /srv/data.
    @Suite struct Volumes {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        private func withCounter(_ id: String, _ body: (Counter, World) throws -> Void) throws {
            let counter = Counter(id)
            defer { for host in [lab.alpha, lab.beta] { _ = try? host.shell("rm -rf --one-file-system '\(counter.folder)'") } }
            try withWorkload(counter, on: lab.alpha) { try body(counter, $0) }
        }

        @Test(arguments: ["--copy-volumes", "--copy-volume=/srv/data", "--copy-volume=/data/volumes/lab-volume"])
        func `a volume moves forth and back, with what was written while it moved`(_ option: String) throws {
            try withCounter("lab-volume") { counter, world in
                for destination in [lab.beta, lab.alpha] {
                    let outcome = try lab.migrate(counter.id, from: lab.other(destination), options: [option])
                    try expectMoved(outcome, counter, to: destination, world)
                    let listing =
                        "cd '\(counter.folder)'; stat -c '%a %u %g' . odd*; getfattr -n user.kind --only-values odd*; sort -c -n -u log; wc -l < log"
                    let found = try destination.shell(listing)
                    #expect(found.hasPrefix("750 12 34\n640 5 6\nodd"), "\(found)")
                }
            }
        }

        @Test func `without the option the destination must have it, and is told what it means`() throws {
            try withCounter("lab-volume-absent") { counter, world in
                let outcome = try lab.migrate(counter.id, from: lab.alpha)
                try expectStayed(outcome, counter, on: lab.alpha, world, codes: [3])
                #expect("\(outcome)".contains("doesn't exist on"), "\(outcome)")
                let wrong = try lab.migrate(counter.id, from: lab.alpha, options: ["--copy-volume", "/srv/other"])
                try expectStayed(wrong, counter, on: lab.alpha, world, codes: [3])
            }
        }

        @Test func `a folder that the destination has stays untouched, unless it is to be replaced`() throws {
            try withCounter("lab-volume-taken") { counter, world in
                try lab.beta.shell("mkdir -p '\(counter.folder)'; echo mine > '\(counter.folder)/mine'")
                let refused = try lab.migrate(counter.id, from: lab.alpha, options: ["--copy-volumes"])
                try expectStayed(refused, counter, on: lab.alpha, world, codes: [3])
                #expect(try lab.beta.shell("cd '\(counter.folder)'; ls; cat mine") == "mine\nmine")
                let outcome = try lab.migrate(counter.id, from: lab.alpha, options: ["--copy-volumes", "--replace-volumes"])
                try expectMoved(outcome, counter, to: lab.beta, world)
                #expect(try lab.beta.run(["test", "-e", "\(counter.folder)/mine"]).status == .exited(1))
            }
        }

        @Test(arguments: [false, true])
        func `a migration that is rolled back leaves the destination's folder as it was`(_ empty: Bool) throws {
            try withCounter("lab-volume-back") { counter, world in
                if empty {
                    try lab.beta.shell(
                        "mkdir -p '\(counter.folder)'; chmod 711 '\(counter.folder)'; chown 3:4 '\(counter.folder)'")
                }
                let outcome = try lab.migrate(
                    counter.id, from: lab.alpha, options: ["--copy-volumes"], fault: "source.capture.fail")
                try expectStayed(outcome, counter, on: lab.alpha, world, codes: [4])
                if empty {
                    #expect(try lab.beta.shell("stat -c '%a %u %g' '\(counter.folder)'; ls -A '\(counter.folder)'") == "711 3 4")
                } else {
                    #expect(try lab.beta.run(["test", "-e", counter.folder]).status == .exited(1))
                }
            }
        }
    }
}

/// Counts into a log in its volume, as fast as a shell does.
private final class Counter: Workload {
    let id: String
    var folder: String { "/data/volumes/\(id)" }
    init(_ id: String) { self.id = id }

    func start(on host: LabHost) throws {
        try host.shell(
            "mkdir -p '\(folder)'; cd '\(folder)'; chmod 750 .; chown 12:34 .; echo x > 'odd name'; setfattr -n user.kind -v odd 'odd name'; chown 5:6 odd*; chmod 640 odd*"
        )
        try Lab.shared.script(
            "bundle",
            [
                host.name, id, "--network", "none", "--bind", "\(folder):/srv/data", "--", "busybox", "sh", "-c",
                "n=0; while true; do n=$((n + 1)); echo $n >>/srv/data/log; [ $((n % 100)) != 0 ] || busybox sleep 0.01; done",
            ])
        try host.shell("runc run -d --bundle /data/\(id) \(id) </dev/null >/dev/null 2>&1")
        try verify(on: host)
    }

    func beginLoad() throws {}
    func endLoad() throws {}

    func verify(on host: LabHost) throws {
        let lines = { Int(try host.shell("wc -l < '\(self.folder)/log' 2>/dev/null || echo 0")) ?? 0 }
        let before = try lines()
        let goes: Bool? = try eventually(.seconds(30)) { try lines() > before ? true : nil }
        guard goes != nil else { throw LabError("\(id) doesn't count on at \(host)") }
        let gaps = try host.shell("head -n -1 '\(folder)/log' | awk '$1 != NR { print NR, $1; exit }'")
        guard gaps.isEmpty else { throw LabError("\(id): the log isn't what was written: \(gaps)") }
    }
}
