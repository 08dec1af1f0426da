import Migration
import Model
import Plan

/// The words of a migration on its way.
extension Words {
    /// One line, at most `width` characters: phase, how far, what is left, rate, and the downtime if the freeze came now. The bar and
    /// the total are for wide terminals: without them it fits in 80.
    static func live(_ live: LiveProgress, width: Int, bar: Bool = true) -> String {
        var parts = [live.phase.label.rightPadded(8)]
        if live.pages > 0 {
            let share = Double(live.pagesDone) / Double(live.pages)
            if bar, width >= 120 { parts.append(Self.bar(share, 16)) }
            parts.append(padded("\(Int(share * 100))%", 4))
            let total = width >= 100 ? " of \(bytes(live.pages * pageSize))" : ""
            parts.append("\(bytes(live.pagesLeft * pageSize))\(total) left")
            if live.rate > 0 { parts.append("\(bytes(live.rate))/s") }
            if let rest = live.remainingMS, live.pagesLeft > 0 { parts.append("\(about(rest)) to go") }
        } else {
            parts.append(about(live.inPhase.milliseconds))
        }
        if let downtime = live.predictedDowntimeMS { parts.append("downtime now ≈ \(about(downtime))") }
        if live.phase.isFrozen { parts.append("frozen") }
        return String(parts.joined(separator: "  ").prefix(width))
    }

    static func bar(_ share: Double, _ width: Int) -> String {
        let full = min(max(Int((share * Double(width)).rounded()), 0), width)
        return String(repeating: "█", count: full) + String(repeating: "░", count: width - full)
    }

    /// A time as a person guesses it: three digits say nothing of a prediction.
    static func about(_ value: Double) -> String {
        if value < 999.5 { return "\(Int(value.rounded())) ms" }
        if value < 99_500 { return "\(fixed(value / 1000, 1)) s" }
        return "\(Int((value / 60_000).rounded())) min"
    }

    static func round(_ number: Int, _ round: RoundReport, _ predicted: Double?) -> String {
        var text = "round \(number): \(bytes(round.pages * pageSize)) in \(milliseconds(round.durationMS))"
        text += ", \(bytes(round.bytesSent)) sent; dirty now: \(bytes(round.dirtyPages * pageSize))"
        if let predicted { text += "; downtime now ≈ \(about(predicted))" }
        return text
    }

    static func throttle(_ step: ThrottleStep) -> String {
        "rounds don't converge: the container gets \(step.percent) % less processor time until the freeze (--auto-converge)"
    }

    static func decision(_ decision: FreezeDecision) -> String {
        let how =
            switch decision.how {
            case .preCopy: "freezing"
            case .postCopy: "freezing, post-copy of the rest"
            case .stopCopy: "freezing, stop-copy of the rest"
            case .giveUp: "giving up"
            }
        return "\(how): \(decision.reason)"
    }

    /// The last line: what it was, and what was foretold.
    static func summary(_ result: MigrationResult, at destination: String) -> String {
        var text = "\(result.container) runs on \(destination): downtime \(milliseconds(result.downtimeMS))"
        if let predicted = result.decision?.predictedDowntimeMS { text += " (predicted \(about(predicted)))" }
        text += ", \(milliseconds(result.totalMS)) in all, \(bytes(result.bytesSent)) sent (\(result.method)"
        if result.decision?.how == .stopCopy { text += ", the rest by stop-copy" }
        return text + ")"
    }
}
