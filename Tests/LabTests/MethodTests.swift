import Host
import LabSupport
import Testing

extension InTheLab {
    /// The stamper has every kind of memory and is always busy: what a way loses, it notices.
    @Suite struct Methods {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        struct Way: Sendable, CustomTestStringConvertible {
            var options: [String]
            /// What the result must name as method; nil: whatever it became.
            var method: String?
            var isSlow = false
            /// What the result must name: dump, restore, tracker.
            var ways: [String?] = ["hidden", "fault-server", "write-protect"]
            var testDescription: String { options.isEmpty ? "no option" : options.joined(separator: " ") }
        }

        static let images = ["full", "images", nil as String?]
        static let ways: [Way] = [
            Way(options: ["--method", "stop-copy"], method: "stop-copy", ways: ["hidden", "fault-server", nil]),
            Way(options: ["--method", "pre-copy"], method: "pre-copy"),
            Way(options: ["--method", "hybrid", "--max-rounds", "1"], method: "hybrid"),
            Way(options: ["--method", "page-server"], method: "page-server", ways: ["page-server", "images", nil]),
            Way(
                options: ["--method", "pre-copy-page-server"], method: "pre-copy-page-server",
                ways: ["page-server", "fault-server", "write-protect"]),
            Way(options: ["--method", "post-copy"], method: "post-copy", ways: ["hidden", "fault-server", nil]),
            Way(options: ["--method", "auto", "--downtime-limit", "50"]),
            Way(options: ["--tracker", "write-protect"]),
            Way(options: ["--tracker", "content-hash"], ways: ["hidden", "fault-server", "content-hash"]),
            Way(options: ["--dump", "hidden", "--restore", "fault-server"]),
            Way(options: ["--dump", "lazy"], ways: ["lazy", "fault-server", "write-protect"]),
            Way(options: ["--dump", "full"], method: "stop-copy", ways: images),
            Way(options: ["--restore", "images"], method: "stop-copy", ways: images),
            Way(options: ["--dump", "full", "--restore", "images"], method: "stop-copy", isSlow: true, ways: images),
            Way(
                options: ["--method", "stop-copy", "--dump", "full", "--restore", "images"], method: "stop-copy", isSlow: true,
                ways: images),
            Way(
                options: ["--method", "stop-copy", "--dump", "lazy"], method: "stop-copy", isSlow: true,
                ways: ["lazy", "fault-server", nil]),
            Way(
                options: ["--method", "hybrid", "--dump", "lazy", "--max-rounds", "1"], method: "hybrid",
                ways: ["lazy", "fault-server", "write-protect"]),
            Way(
                options: ["--method", "post-copy", "--dump", "lazy"], method: "post-copy", isSlow: true,
                ways: ["lazy", "fault-server", nil]),
            Way(
                options: ["--dump", "lazy", "--tracker", "content-hash"], isSlow: true,
                ways: ["lazy", "fault-server", "content-hash"]),
            Way(options: ["--compress", "lz4", "--streams", "1"], isSlow: true),
            Way(options: ["--compress", "zstd", "--streams", "4"], isSlow: true),
            Way(options: ["--compress", "none", "--bandwidth", "50m"], isSlow: true),
            Way(options: ["--no-post-copy", "--max-rounds", "2"], isSlow: true),
            Way(options: ["--memory-threshold", "4m"], isSlow: true),
        ]

        private func moves(_ way: Way) throws {
            let workload = Stamper("lab-way", megabytes: 48)
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome = try lab.migrate(workload.id, from: lab.alpha, options: way.options)
                try expectMoved(outcome, workload, to: lab.beta, world)
                if let method = way.method { #expect(outcome.report?.method == method) }
                expectWays(outcome, way.ways)
                // Back in the way that it chooses by itself: what a forced way restored must be a container like any other.
                try expectMoved(try lab.migrate(workload.id, from: lab.beta), workload, to: lab.alpha, world)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test(arguments: ways.filter { !$0.isSlow })
        func `each way moves a busy program byte for byte`(_ way: Way) throws { try moves(way) }

        @Test(.tags(.slow), .enabled(if: Lab.isSlowWanted), arguments: ways.filter(\.isSlow))
        func `each combination of ways moves a busy program byte for byte`(_ way: Way) throws { try moves(way) }

        /// Soft-dirty needs a kernel that has it (a stock Debian one does).
        @Test(arguments: [["--tracker", "soft-dirty"]])
        func `a way that can't be gone here is refused in words, and otherwise moves`(_ options: [String]) throws {
            let workload = Tiny("lab-way")
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome = try lab.migrate(workload.id, from: lab.alpha, options: options)
                if outcome.exitCode == 0 { return try expectMoved(outcome, workload, to: lab.beta, world) }
                try expectStayed(outcome, workload, on: lab.alpha, world, codes: [2, 3])
            }
        }

        @Test(arguments: [
            ["--method", "teleport"], ["--streams", "0"], ["--method", "hybrid", "--no-post-copy"],
            ["--method", "post-copy", "--no-post-copy"], ["--method", "post-copy", "--dump", "full"],
            ["--method", "hybrid", "--dump", "full"], ["--dump", "lazy", "--restore", "images"],
            ["--dump", "full", "--restore", "fault-server"], ["--dump", "magic"],
            ["--tcp-close", "--tcp-established"],
        ])
        func `options that make no sense end with 2 and touch nothing`(_ options: [String]) throws {
            let outcome = try lab.migrate("nobody", from: lab.alpha, options: options)
            #expect(outcome.exitCode == 2, "\(outcome)")
        }
    }
}
