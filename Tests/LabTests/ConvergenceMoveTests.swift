import Host
import LabSupport
import Testing

extension InTheLab {
    /// A redis that is written to faster than its host's link carries pages: each way out of that, and that it is said.
    @Suite struct ConvergenceMoves {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        struct Case: Sendable, CustomTestStringConvertible {
            var options: [String]
            /// Of the decision.
            var how: String
            /// In its reason.
            var says: String
            /// What the result calls it; nil where the container stays.
            var method: String?
            /// Values rewritten a second: 15,000 are 60 MB, the link carries 25.
            var rate = 15_000
            var testDescription: String { options.joined(separator: " ") }
        }

        static let cases: [Case] = [
            Case(
                options: ["--downtime-limit", "300"], how: "post-copy", says: "the rest follows after the release",
                method: "hybrid"),
            Case(
                options: ["--downtime-limit", "300", "--no-post-copy"], how: "stop-copy", says: "--no-post-copy",
                method: "pre-copy"),
            Case(
                options: ["--downtime-limit", "300", "--no-post-copy", "--strict-limit"], how: "give-up",
                says: "the limit is 300 ms", method: nil),
            Case(
                options: ["--downtime-limit", "300", "--max-rounds", "2"], how: "post-copy",
                says: "after 2 rounds, the most allowed", method: "hybrid"),
            Case(options: [], how: "pre-copy", says: "more rounds don't shorten it", method: "pre-copy"),
            Case(
                options: ["--memory-threshold", "64m"], how: "pre-copy", says: "within the memory threshold",
                method: "pre-copy"),
            Case(
                options: ["--downtime-limit", "2000"], how: "pre-copy", says: "is within the limit of 2000 ms",
                method: "pre-copy", rate: 1500),
        ]

        @Test(arguments: cases)
        func `what does not converge is decided openly`(_ one: Case) throws {
            let workload = ChurnedRedis("lab-converge", rate: one.rate)
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.script("link", ["alpha", "--rate", "200mbit"])
                defer { _ = try? lab.script("link", ["alpha", "--clear"]) }
                try workload.beginLoad()
                let outcome = try lab.migrate(workload.id, from: lab.alpha, options: one.options)
                try workload.endLoad()
                let decision = try #require(outcome.events.first { $0.event == "decision" }, "\(outcome)")
                #expect(decision.how == one.how && decision.reason?.contains(one.says) == true, "\(decision)")
                #expect(outcome.report?.decision?.how == one.how)
                if let most = one.options.firstIndex(of: "--max-rounds").flatMap({ Int(one.options[$0 + 1]) }) {
                    #expect(outcome.report?.rounds.count == most)
                }
                guard let method = one.method else {
                    return try expectStayed(outcome, workload, on: lab.alpha, world, codes: [4])
                }
                try expectMoved(outcome, workload, to: lab.beta, world)
                #expect(outcome.report?.method == method)
                expectForetold(outcome)
                try expectNothingLeft(by: workload, world)
            }
        }

        /// Within a factor: the machine is shared, and a frozen redis has fewer things to wait for than a running one.
        private func expectForetold(_ outcome: Migration.Outcome) {
            guard let report = outcome.report, let predicted = report.decision?.predictedDowntimeMs else { return }
            #expect(
                predicted < report.downtimeMs * 4 && report.downtimeMs < predicted * 4 + 150,
                "predicted \(predicted) ms, was \(report.downtimeMs) ms")
        }
    }

    /// What a person and a program see of a migration on its way.
    @Suite struct ProgressViews {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        private func moving(_ words: String) throws -> (output: String, errors: String) {
            let workload = Stamper("lab-view", megabytes: 64)
            var told = ("", "")
            try withWorkload(workload, on: lab.alpha) { world in
                let command =
                    "martlet migrate \(workload.id) --to \(lab.beta.address) --bandwidth 40m --compress none --max-rounds 3 \(words)"
                let run = try lab.alpha.run(["bash", "-c", command], timeout: .seconds(120))
                #expect(run.status.isSuccess, "\(run.outputText)\(run.errorText)")
                told = (run.outputText, run.errorText)
                try expectOnly(workload, on: lab.beta, world)
                try workload.verify(on: lab.beta)
            }
            return told
        }

        @Test func `JSON lines carry phase, round, rate, remaining and predicted downtime several times a second`() throws {
            let workload = Stamper("lab-view", megabytes: 64)
            try withWorkload(workload, on: lab.alpha) { world in
                let outcome = try lab.migrate(
                    workload.id, from: lab.alpha, options: ["--bandwidth", "40m", "--compress", "none", "--max-rounds", "3"])
                try expectMoved(outcome, workload, to: lab.beta, world)
                let live = outcome.events.filter { $0.event == "progress" && $0.phase == "copy" }
                #expect(live.count >= 8, "\(live.count) lines in \(outcome.report?.totalMs ?? 0) ms")
                #expect(live.contains { ($0.rate ?? 0) > 1_000_000 && ($0.bytesLeft ?? 0) > 0 && ($0.remainingMs ?? 0) > 0 })
                #expect(live.contains { ($0.round ?? 0) > 0 && ($0.predictedDowntimeMs ?? 0) > 30 })
                let rounds = outcome.events.filter { $0.event == "round" }
                #expect(rounds.count == outcome.report?.rounds.count)
                #expect(rounds.allSatisfy { ($0.predictedDowntimeMs ?? 0) > 0 })
            }
        }

        @Test func `a terminal gets one line that is rewritten, and the timeline at the end`() throws {
            let told = try moving("")
            // Without a terminal: plain lines.
            #expect(!told.errors.contains("\u{1B}") && told.errors.contains("round 0:") && told.errors.contains("freezing"))
            #expect(told.output.contains("freeze") && told.output.contains("runs on \(lab.beta.address): downtime"))
            let workload = Stamper("lab-view", megabytes: 64)
            try withWorkload(workload, on: lab.alpha) { world in
                let command =
                    "martlet migrate \(workload.id) --to \(lab.beta.address) --bandwidth 40m --compress none --max-rounds 3"
                let run = try lab.alpha.run(["script", "-qec", command, "/dev/null"], timeout: .seconds(120))
                let text = run.outputText
                #expect(run.status.isSuccess, "\(text)")
                let rewritten = text.components(separatedBy: "\r\u{1B}[K").filter { $0.hasPrefix("copy") }
                #expect(rewritten.count >= 5, "\(text)")
                #expect(rewritten.contains { $0.contains("left") && $0.contains("/s") && $0.contains("downtime now") }, "\(text)")
                try expectOnly(workload, on: lab.beta, world)
            }
        }

        @Test func `quiet says nothing, or only the result`() throws {
            let silent = try moving("--quiet")
            #expect(silent.output.isEmpty && silent.errors.isEmpty, "\(silent)")
            let result = try moving("--quiet --json")
            #expect(result.output.split(separator: "\n").count == 1 && result.output.contains("\"result\""), "\(result)")
        }
    }
}

extension String {
    /// Pieces between a separator, without Foundation.
    fileprivate func components(separatedBy separator: String) -> [String] { split(separator: separator).map(String.init) }
}
