import Host
import LabSupport
import Model
import Testing

extension InTheLab {
    /// Slow links: what is packed, and what the user allows.
    @Suite struct Links {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        /// A redis whose data is text, as caches hold it: lz4 leaves 29 % of it, zstd 18 %.
        private func withText(_ body: (Redis, World) throws -> Void) throws {
            let redis = Redis("lab-text", memory: "96M", content: .text)
            try withWorkload(redis, on: lab.alpha) { try body(redis, $0) }
        }

        @Test func `auto packs when the link is slower than the packer, and moves faster for it`() throws {
            try withText { redis, world in
                try lab.script("link", [lab.beta.name, "--rate", "200mbit"])
                defer { _ = try? lab.script("link", [lab.beta.name, "--clear"]) }
                let plain = try lab.migrate(redis.id, from: lab.alpha, options: ["--compress", "none"])
                try expectMoved(plain, redis, to: lab.beta, world)
                let packed = try lab.migrate(redis.id, from: lab.beta, options: ["--compress", "auto"])
                try expectMoved(packed, redis, to: lab.alpha, world)
                let (before, after) = (try #require(plain.report), try #require(packed.report))
                #expect(before.bytesSent > 96 << 20)
                #expect(after.bytesSent * 10 < before.bytesSent * 7, "\(before.bytesSent) plain, \(after.bytesSent) by auto")
                let (slow, fast) = (try #require(before.rounds.first), try #require(after.rounds.first))
                #expect(fast.durationMs < slow.durationMs * 0.8, "\(slow.durationMs) ms plain, \(fast.durationMs) ms by auto")
            }
        }

        @Test func `auto leaves most plain on a link that is faster than the packer`() throws {
            try withText { redis, world in
                let outcome = try lab.migrate(redis.id, from: lab.alpha)
                try expectMoved(outcome, redis, to: lab.beta, world)
                // Whatever makes the receiver slow looks like a slow link, a busy machine too; lz4 throughout would be 34 MB.
                let report = try #require(outcome.report)
                #expect(report.bytesSent > 45 << 20, "\(report.bytesSent) bytes sent")
            }
        }

        @Test func `what is sent keeps to --bandwidth, pages and files, on however many streams`() throws {
            let redis = Redis("lab-limited", memory: "64M")
            try withWorkload(redis, on: lab.alpha) { world in
                // A file of 24 MB in the bundle travels as well.
                try lab.alpha.shell("head -c 24M /dev/urandom >/data/\(redis.id)/rootfs/srv/noise")
                let limit = 12 << 20
                let (before, start) = (try sentBytes(), MonotonicInstant.now)
                let outcome = try lab.migrate(
                    redis.id, from: lab.alpha, options: ["--bandwidth", "\(limit)", "--streams", "3", "--compress", "none"])
                let (sent, seconds) = (try sentBytes() - before, start.elapsed.inMilliseconds / 1000)
                try expectMoved(outcome, redis, to: lab.beta, world)
                #expect(sent > 88 << 20, "\(sent) bytes left the host")
                // The kernel's counter has the headers (5 %) and TLS (1 %) too; a bucket holds a tenth of a second.
                #expect(Double(sent) < Double(limit) * 1.07 * (seconds + 0.5), "\(sent) bytes in \(seconds) s")
                let report = try #require(outcome.report), first = try #require(report.rounds.first)
                #expect(first.durationMs > 1000 * Double(first.bytesSent) / Double(limit) * 0.9)
            }
        }

        /// Round trips in the frozen window: the images and `shipped` go over (a half), `ready` comes back, `release` goes over. A stream
        /// of images whose window is cold needs six more: 1.7 s. At 200 ms it is not all open when the freeze comes, on a busy machine.
        @Test func `a long link costs the freeze less than a cold window, with changed files and open connections too`() throws {
            let redis = Redis("lab-far", memory: "4M")
            try withWorkload(redis, on: lab.alpha) { world in
                try lab.alpha.shell("for i in $(seq 50); do echo old >/data/\(redis.id)/rootfs/srv/$i; done")
                try lab.script("link", [lab.beta.name, "--delay", "100ms"])
                defer { _ = try? lab.script("link", [lab.beta.name, "--clear"]) }
                let writer = try lab.alpha.start([
                    "sh", "-c", "for i in $(seq 3000); do echo $i >/data/\(redis.id)/rootfs/srv/log; sleep 0.01; done",
                ])
                defer { writer.stop() }
                let outcome = try lab.migrate(redis.id, from: lab.alpha)
                writer.stop()
                try lab.script("link", [lab.beta.name, "--clear"])
                try expectMoved(outcome, redis, to: lab.beta, world)
                let downtime = try #require(outcome.report?.downtimeMs)
                #expect(downtime > 300 && downtime < 1400, "\(downtime) ms")
                try expectNothingLeft(by: redis, world)
            }
        }

        /// A slow and lossy way: slow, and right.
        @Test(arguments: [["--rate", "200mbit", "--delay", "10ms"], ["--rate", "50mbit", "--delay", "25ms", "--loss", "0.1%"]])
        func `a slow, long and lossy link carries a container under load`(_ link: [String]) throws {
            let workload = Stamper("lab-slow", megabytes: 24)
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.script("link", [lab.beta.name] + link)
                defer { _ = try? lab.script("link", [lab.beta.name, "--clear"]) }
                let outcome = try lab.migrate(workload.id, from: lab.alpha, options: ["--downtime-limit", "1000"])
                try lab.script("link", [lab.beta.name, "--clear"])
                try expectMoved(outcome, workload, to: lab.beta, world)
                try expectNothingLeft(by: workload, world)
            }
        }

        private func sentBytes() throws -> Int {
            Int(try lab.alpha.shell("cat /sys/class/net/eth0/statistics/tx_bytes")) ?? 0
        }
    }
}
