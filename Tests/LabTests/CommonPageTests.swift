import Host
import LabSupport
import Testing

extension InTheLab {
    /// What processes have in common by fork stays one page.
    @Suite struct CommonPages {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        @Test func `forked processes share what they shared, forth and back, and have every byte`() throws {
            let family = Family("lab-family")
            try withWorkload(family, on: lab.alpha) { world in
                let before = family.memory
                #expect(before.proportional * 2 < before.resident, "\(before): nothing is shared to begin with")
                for destination in [lab.beta, lab.alpha, lab.beta] {
                    let outcome = try lab.migrate(family.id, from: lab.other(destination))
                    try expectMoved(outcome, family, to: destination, world)
                    // The background may still put the last pages in place.
                    let kept = try eventually(.seconds(20)) {
                        try family.verify(on: destination)
                        return family.memory.proportional < before.proportional * 5 / 4 ? true : nil
                    }
                    #expect(kept == true, "\(family.memory) after \(before)")
                    #expect(family.memory.resident > before.resident * 9 / 10, "\(family.memory) after \(before)")
                }
                try expectMoved(try lab.migrate(family.id, from: lab.beta), family, to: lab.alpha, world)
                try expectNothingLeft(by: family, world)
            }
        }

        @Test func `a migration that is rolled back takes no sharing from the source`() throws {
            let family = Family("lab-family-stays")
            try withWorkload(family, on: lab.alpha) { world in
                let before = family.memory
                let outcome = try lab.migrate(family.id, from: lab.alpha, fault: "source.capture.fail")
                try expectStayed(outcome, family, on: lab.alpha, world)
                try family.verify(on: lab.alpha)
                #expect(family.memory.proportional < before.proportional * 5 / 4, "\(family.memory) after \(before)")
            }
        }

        @Test func `forked processes move with pages left behind`() throws {
            let family = Family("lab-family-hybrid")
            try withWorkload(family, on: lab.alpha) { world in
                for (destination, method) in [(lab.beta, "hybrid"), (lab.alpha, "post-copy")] {
                    let outcome = try lab.migrate(family.id, from: lab.other(destination), options: ["--method", method])
                    try expectMoved(outcome, family, to: destination, world)
                }
                try expectNothingLeft(by: family, world)
            }
        }

        @Test func `a snapshot that redis is writing moves with it and shares its memory`() throws {
            let redis = Redis("lab-snapshot", memory: "128M")
            try withWorkload(redis, on: lab.alpha) { world in
                func ask(_ words: String, _ host: LabHost) throws -> String {
                    try host.shell("redis-cli -h 10.77.1.11 \(words)")
                }
                _ = try ask("config set rdb-key-save-delay 1000", lab.alpha)
                _ = try ask("bgsave", lab.alpha)
                let outcome = try lab.migrate(redis.id, from: lab.alpha)
                try expectMoved(outcome, redis, to: lab.beta, world)
                #expect(try ask("info persistence", lab.beta).contains("rdb_bgsave_in_progress:1"))
                let sums = try lab.beta.shell(
                    """
                    for p in $(cat /sys/fs/cgroup/\(redis.id)/cgroup.procs); do cat /proc/$p/smaps_rollup; done |
                        awk '/^Rss:/ {r += $2} /^Pss:/ {p += $2} END {print p, r}'
                    """
                ).split(separator: " ").compactMap { Int($0) }
                #expect(sums.count == 2 && sums[0] * 3 < sums[1] * 2, "\(sums): Pss and Rss")
                _ = try ask("config set rdb-key-save-delay 0", lab.beta)
                let ended = try eventually(.seconds(120)) {
                    try ask("info persistence", lab.beta).contains("rdb_bgsave_in_progress:0") ? true : nil
                }
                #expect(ended == true)
                #expect(try ask("info persistence", lab.beta).contains("rdb_last_bgsave_status:ok"))
                try redis.verify(on: lab.beta)
            }
        }
    }
}
