import Host
import LabSupport
import Testing

extension InTheLab {
    /// Hosts short of memory, and containers with a limit of their own.
    @Suite struct Memory {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        private static let spill = "/var/lib/martlet/spill"

        /// A beta whose kernel says that it has so little. The lab's hosts share the machine's memory, so the figure is covered.
        private func withBeta<Result>(available: Int, swap: Int, _ body: () throws -> Result) throws -> Result {
            try lab.beta.shell(
                """
                sed -e 's/^MemAvailable:.*/MemAvailable: \(available << 10) kB/' -e 's/^SwapFree:.*/SwapFree: \(swap << 10) kB/' \
                    /proc/meminfo >/run/lab/meminfo
                mount --bind /run/lab/meminfo /proc/meminfo
                """)
            defer { _ = try? lab.beta.shell("umount /proc/meminfo; rm -f /run/lab/meminfo") }
            return try body()
        }

        /// Descriptors of beta's session that lie in the spill folder.
        private func spillFiles() throws -> String {
            try lab.beta.shell(
                "for p in $(pidof martlet); do ls -l /proc/$p/fd 2>/dev/null; done | grep -o '\(Memory.spill)/.*' || true")
        }

        @Test func `a host short of memory takes the pages in its spill folder`() throws {
            let redis = Redis("lab-spilled", memory: "128M")
            try withWorkload(redis, on: lab.alpha) { world in
                try withBeta(available: 96, swap: 1024) {
                    let migration = try Migration(
                        redis.id, from: lab.alpha, to: lab.beta.address, options: ["--bandwidth", "40m"])
                    #expect(migration.reaches("copy"))
                    let files = try eventually(.seconds(20)) {
                        let files = try spillFiles()
                        return files.isEmpty ? nil : files
                    }
                    #expect(files != nil, "no page store in \(Memory.spill)")
                    try expectMoved(try migration.outcome(), redis, to: lab.beta, world)
                }
                // The file has no name and ends with the session.
                #expect(try eventually(.seconds(30)) { try spillFiles().isEmpty ? true : nil } == true)
                try expectMoved(try lab.migrate(redis.id, from: lab.beta), redis, to: lab.alpha, world)
                try expectNothingLeft(by: redis, world)
            }
        }

        @Test func `a host that has room nowhere refuses, and says what is short and what helps`() throws {
            let redis = Redis("lab-nowhere", memory: "96M")
            try withWorkload(redis, on: lab.alpha) { world in
                let short = try withSmallSpillFolder {
                    try withBeta(available: 64, swap: 1024) { try lab.migrate(redis.id, from: lab.alpha) }
                }
                try expectStayed(short, redis, on: lab.alpha, world, codes: [3])
                let told = short.events.first { $0.code == "store-short" }
                #expect(told?.severity == "blocker", "\(short)")
                #expect(told?.what?.contains(" MB") == true)
                // Without swap the container itself would not fit, whatever the disk.
                let swapless = try withBeta(available: 64, swap: 0) { try lab.migrate(redis.id, from: lab.alpha) }
                try expectStayed(swapless, redis, on: lab.alpha, world, codes: [3])
                #expect(swapless.events.contains { $0.code == "memory-short" }, "\(swapless)")
            }
        }

        private func withSmallSpillFolder<Result>(_ body: () throws -> Result) throws -> Result {
            try lab.beta.shell("mount -t tmpfs -o size=16m tmpfs \(Memory.spill)")
            defer { _ = try? lab.beta.shell("umount \(Memory.spill)") }
            return try body()
        }

        @Test func `an agent that may not spill refuses what doesn't fit in memory`() throws {
            let redis = Redis("lab-nospill", memory: "96M")
            try withWorkload(redis, on: lab.alpha) { world in
                let outcome = try withoutSpilling {
                    try withBeta(available: 64, swap: 1024) { try lab.migrate(redis.id, from: lab.alpha) }
                }
                try expectStayed(outcome, redis, on: lab.alpha, world, codes: [3])
                #expect(outcome.report?.error.map { "\($0.why) \($0.hint)".contains("spill folder") } == true, "\(outcome)")
            }
        }

        private func withoutSpilling<Result>(_ body: () throws -> Result) throws -> Result {
            try restartAgent("--spill none")
            defer { _ = try? restartAgent("") }
            return try body()
        }

        private func restartAgent(_ options: String) throws {
            try lab.beta.shell(
                """
                p=$(cat /run/martlet-agent.pid); kill "$p" && while [ -d "/proc/$p" ]; do sleep 0.02; done
                setsid martlet agent \(options) </dev/null >>/var/log/martlet-agent.log 2>&1 & echo $! >/run/martlet-agent.pid
                for try in $(seq 200); do [ -n "$(ss -Hltn 'sport = :7077')" ] && exit 0; sleep 0.05; done; exit 1
                """)
        }

        /// Whether runc can set memory limits here: the lab's hosts need the controller in the unified hierarchy.
        private static let hasLimits =
            Lab.isWanted && (try? Lab.shared.alpha.shell("grep -w memory /sys/fs/cgroup/cgroup.controllers")) != nil

        @Test(.enabled(if: hasLimits, "this machine keeps the memory controller in a cgroup v1 hierarchy"))
        func `a container with a memory limit moves and keeps the limit`() throws {
            let redis = Redis("lab-limit", memory: "280M", limit: "512M")
            try withWorkload(redis, on: lab.alpha) { world in
                for destination in [lab.beta, lab.alpha] {
                    let outcome = try lab.migrate(redis.id, from: lab.other(destination))
                    try expectMoved(outcome, redis, to: destination, world)
                    #expect(try destination.shell("cat /sys/fs/cgroup/\(redis.id)/memory.max") == "\(512 << 20)")
                    #expect(try destination.shell("grep '^oom_kill ' /sys/fs/cgroup/\(redis.id)/memory.events") == "oom_kill 0")
                }
                try expectNothingLeft(by: redis, world)
            }
        }

        /// The bound of the README: beside the stored pages Martlet needs less than this on each side, whatever the container's size.
        @Test(.tags(.slow), .enabled(if: Lab.isSlowWanted))
        func `moving 3 GB takes no more than 300 MB of Martlet's own on either side`() throws {
            let redis = Redis("lab-large", memory: "3G")
            try withWorkload(redis, on: lab.alpha) { world in
                for destination in [lab.beta, lab.alpha] {
                    let watches = try lab.hosts.map { try MemoryWatch(on: $0) }
                    let outcome = try lab.migrate(redis.id, from: lab.other(destination), within: .seconds(600))
                    try expectMoved(outcome, redis, to: destination, world)
                    for watch in watches {
                        let peak = try watch.end()
                        print("to \(destination): \(peak)")
                        #expect(peak.total > 1 << 20 && peak.total < 300 << 20, "\(peak)")
                    }
                }
            }
        }
    }
}
