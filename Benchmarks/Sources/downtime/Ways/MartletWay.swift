import FoundationEssentials

/// `martlet migrate`, with its own report.
enum MartletWay: Way {
    static let name = "martlet"

    static func prepare(_ trial: Trial) throws {
        try trial.source.run("martlet check \(trial.id) --to \(trial.destinationAddress) \(trial.martletOptions) >/dev/null")
    }

    static func migrate(_ trial: Trial) throws -> Moved {
        let start = now()
        let answer = try trial.source.attempt(
            "martlet migrate \(trial.id) --engine runc --to \(trial.destinationAddress) --json \(trial.martletOptions) 2>/run/bench-errors"
        )
        let end = now()
        guard answer.status == 0, let line = answer.output.split(separator: "\n").last else {
            let errors = try trial.source.attempt("tail -n 20 /run/bench-errors").output
            throw Failure("martlet migrate ended with \(answer.status):\n\(answer.output.suffix(2000))\n\(errors)")
        }
        let report = try JSONDecoder().decode(Report.self, from: Data(line.utf8))
        let steps = report.phases.map { Step(name: $0.name, milliseconds: $0.duration_ms, frozen: $0.frozen) }
        let freeze = report.phases.first { $0.frozen }?.start_ms ?? 0
        let details = report.steps.map {
            Detail(name: "\($0.side): \($0.name)", startMS: $0.start_ms - freeze, milliseconds: $0.duration_ms)
        }
        return Moved(
            start: start, end: end, steps: steps, reportedDowntimeMS: report.downtime_ms, rounds: report.rounds.count,
            method: report.method, details: details)
    }

    /// The part of the result that is wanted here; names as on the wire.
    private struct Report: Decodable {
        struct Span: Decodable {
            var name: String
            var start_ms: Double
            var duration_ms: Double
            var frozen: Bool
        }
        struct Step: Decodable {
            var name: String
            var side: String
            var start_ms: Double
            var duration_ms: Double
        }
        struct Round: Decodable { var pages: Int }
        var method: String
        var downtime_ms: Double
        var phases: [Span]
        var steps: [Step]
        var rounds: [Round]
    }
}
