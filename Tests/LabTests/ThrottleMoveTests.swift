import Host
import LabSupport
import Testing

extension InTheLab {
    /// `--auto-converge` and `--nice`: what is taken of the container's processors, and of Martlet's own turn, and given back.
    @Suite struct ThrottleMoves {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        /// A redis that is written to faster than the link carries it, in a cgroup of its own that has a limit of its own.
        private func withBusyRedis(
            link: String, options: [String], _ body: (ChurnedRedis, World, Migration, Quota) throws -> Void
        ) throws {
            let workload = ChurnedRedis("lab-throttle", rate: 30_000)
            let quota = try Quota(workload.id, on: lab.alpha)
            defer { quota.remove() }
            try withWorkload(workload, on: lab.alpha) { world in
                try quota.begin()
                let before = try quota.setting()
                try lab.script("link", ["alpha", "--rate", link])
                defer { _ = try? lab.script("link", ["alpha", "--clear"]) }
                try workload.beginLoad()
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address, options: ["--auto-converge", "--no-post-copy"] + options)
                try body(workload, world, migration, quota)
                try workload.endLoad()
                if try quota.isThere() { #expect(try quota.setting() == before) }
                try workload.remove()
            }
        }

        @Test func `a container that writes faster than the link is slowed down until the rounds converge`() throws {
            try withBusyRedis(link: "400mbit", options: ["--downtime-limit", "150"]) { workload, world, migration, _ in
                let outcome = try migration.outcome()
                try workload.endLoad()
                try expectMoved(outcome, workload, to: lab.beta, world)
                let steps = outcome.events.filter { $0.event == "throttle" }.compactMap(\.percent)
                #expect(steps.first == 20 && steps == steps.sorted() && (steps.last ?? 0) <= 80, "\(steps)")
                #expect(outcome.report?.throttle?.map(\.percent) == steps)
                #expect(outcome.report?.decision?.how == "pre-copy", "\(outcome)")
                #expect(outcome.report?.method == "pre-copy")
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `a rollback gives back exactly what there was`() throws {
            let options = ["--downtime-limit", "60", "--strict-limit"]
            try withBusyRedis(link: "50mbit", options: options) { workload, world, migration, quota in
                let outcome = try migration.outcome()
                // How far it comes depends on the machine: a round that helped is followed by no further step.
                let last = outcome.events.filter { $0.event == "throttle" }.compactMap(\.percent).last ?? 0
                #expect(last >= 20, "\(outcome)")
                #expect(outcome.report?.error?.why.contains("\(last) % of its processor time was taken") == true, "\(outcome)")
                #expect(try quota.setting() == quota.original)
                try workload.endLoad()
                try expectStayed(outcome, workload, on: lab.alpha, world, codes: [4])
            }
        }

        @Test(arguments: ["guardian", "recover"])
        func `what a killed migration took is given back`(_ whom: String) throws {
            let options = ["--downtime-limit", "60", "--strict-limit"]
            try withBusyRedis(link: "50mbit", options: options) { workload, world, migration, quota in
                try #require(migration.says { $0.event == "throttle" })
                if whom == "recover" {
                    // Alone, that is without its guardian.
                    try migration.killGuardian()
                }
                let during: String? = try eventually(.seconds(20)) {
                    let now = try quota.setting()
                    return now == quota.original ? nil : now
                }
                #expect(during != nil, "it was never throttled")
                try migration.signal("KILL")
                _ = try migration.outcome()
                if whom == "recover" {
                    #expect(try quota.setting() != quota.original)
                    try lab.recover()
                }
                let back: Bool? = try eventually(.seconds(30)) { try quota.setting() == quota.original ? true : nil }
                let now = try quota.setting()
                #expect(back != nil, "still \(now)")
                try workload.endLoad()
                try expectOnly(workload, on: lab.alpha, world)
                try workload.verify(on: lab.alpha)
                try lab.recover()
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `a container without a cgroup to limit is refused`() throws {
            let workload = Tiny("lab-quota")
            try withWorkload(workload, on: lab.alpha) { world in
                let there = try lab.alpha.run(["test", "-e", "/sys/fs/cgroup/\(workload.id)/cpu.max"]).status.isSuccess
                let outcome = try lab.migrate(workload.id, from: lab.alpha, options: ["--auto-converge"])
                if there { return try expectMoved(outcome, workload, to: lab.beta, world) }
                #expect(outcome.exitCode == 3 && outcome.report?.error?.why.contains("cpu.max") == true, "\(outcome)")
                try expectOnly(workload, on: lab.alpha, world)
            }
        }

        /// Threads of Martlet's process of a kind in a host, by their niceness.
        private func niceness(_ host: LabHost, of process: String) throws -> Set<Int> {
            let text = try host.shell("ps -eLo nlwp,ni,args | grep -E 'martlet (.*/)?\(process)' | grep -v grep || true")
            return Set(text.split(separator: "\n").compactMap { Int($0.split(separator: " ")[1]) })
        }

        @Test func `nice holds at both ends while the container runs, and neither in the freeze nor for the container`() throws {
            let workload = Stamper("lab-nice", megabytes: 64)
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address,
                    options: ["--nice", "11", "--bandwidth", "20m", "--compress", "none", "--max-rounds", "2"],
                    fault: "source.capture.hold")
                try #require(migration.reaches("copy"))
                let polite: Bool? = try eventually(.seconds(10)) {
                    try niceness(lab.alpha, of: "migrate").contains(11) && niceness(lab.beta, of: "internal-session").contains(11)
                        ? true : nil
                }
                #expect(polite != nil)
                try #require(try Migration.isHeld(on: lab.alpha))
                // Real-time threads have no niceness.
                let here = try niceness(lab.alpha, of: "migrate")
                #expect(here.isSubset(of: [0]), "\(here)")
                let hurries: Bool? = try eventually(.seconds(10)) {
                    try niceness(lab.beta, of: "internal-session").isSubset(of: [0]) ? true : nil
                }
                #expect(hurries != nil)
                try Migration.letGo(on: lab.alpha)
                try expectMoved(try migration.outcome(), workload, to: lab.beta, world)
                let tasks = try lab.beta.shell(
                    "for p in $(cat /sys/fs/cgroup/\(workload.id)/cgroup.procs); do ps -Lo ni= -p $p; done | sort -u")
                #expect(tasks.split(separator: "\n").compactMap { Int($0.split(separator: " ")[0]) } == [0], "\(tasks)")
            }
        }
    }
}

/// A container's limit of processor time. Where cgroup v2 has no cpu controller, which this machine may have given to v1, the container
/// is put into a group of v1.
private final class Quota: Sendable {
    /// One and a half processors.
    let original: String
    private let container: String
    private let host: LabHost
    private let isUnified: Bool
    private let group: String

    init(_ container: String, on host: LabHost) throws {
        (self.container, self.host) = (container, host)
        isUnified = try host.run(["grep", "-qw", "cpu", "/sys/fs/cgroup/cgroup.subtree_control"]).status.isSuccess
        group = isUnified ? "/sys/fs/cgroup/\(container)" : "/run/lab/cpu/\(Lab.shared.name)-\(container)"
        original = isUnified ? "150000 100000" : "100000 150000"
        if !isUnified {
            try host.shell(
                "mkdir -p /run/lab/cpu; mountpoint -q /run/lab/cpu || mount -t cgroup -o cpu none /run/lab/cpu; mkdir -p \(group)"
            )
        }
    }

    /// The container runs.
    func begin() throws {
        if isUnified { return try host.write("150000 100000", to: "\(group)/cpu.max") }
        try host.shell(
            """
            echo 150000 >\(group)/cpu.cfs_quota_us
            for p in $(cat /sys/fs/cgroup/\(container)/cgroup.procs); do echo $p >\(group)/cgroup.procs; done
            """)
    }

    func isThere() throws -> Bool { try host.run(["test", "-e", "\(group)/cgroup.procs"]).status.isSuccess }

    func setting() throws -> String {
        let files = isUnified ? "cpu.max" : "cpu.cfs_period_us cpu.cfs_quota_us"
        return try host.shell("cd \(group); echo $(cat \(files))")
    }

    func remove() {
        guard !isUnified else { return }
        _ = try? host.shell(
            "for i in $(seq 100); do rmdir \(group) 2>/dev/null && break; sleep 0.1; done; umount /run/lab/cpu; rmdir /run/lab/cpu"
        )
    }
}
