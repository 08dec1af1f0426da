import Migration
import Model
import Plan
import Synchronization

/// One JSON object a line on standard output.
final class JSONView: ProgressReporter {
    private let lock = Mutex<Void>(())

    func report(_ progress: Progress) {
        switch progress {
        case .phase(let phase, let at):
            say(PhaseEvent(phase: phase.name, round: phase.round, atMS: at.milliseconds, frozen: phase.isFrozen))
        case .note(let text): say(NoteEvent(text: text))
        case .live(let live): say(LiveEvent(live))
        case .round(let number, let round, let predicted): say(RoundEvent(number, round, predicted))
        case .throttle(let step): say(ThrottleEvent(step))
        case .decision(let decision): say(DecisionEvent(decision))
        case .findings(let findings): for finding in findings { say(FindingEvent(finding)) }
        }
    }

    func say(_ value: some Encodable) { lock.withLock { _ in Terminal.line(jsonLine(value)) } }
}

private struct PhaseEvent: Encodable {
    var event = "phase"
    var phase: String
    var round: Int?
    var atMS: Double
    var frozen: Bool
    enum CodingKeys: String, CodingKey { case event, phase, round, atMS = "at_ms", frozen }
}

private struct NoteEvent: Encodable {
    var event = "note"
    var text: String
}

private struct LiveEvent: Encodable {
    var event = "progress"
    var phase: String
    var round: Int?
    var frozen: Bool
    var atMS, inPhaseMS: Double
    var pagesDone, pages, bytesSent, bytesLeft, rate: Int
    var remainingMS, predictedDowntimeMS: Double?

    init(_ live: LiveProgress) {
        (phase, round, frozen) = (live.phase.name, live.phase.round, live.phase.isFrozen)
        (atMS, inPhaseMS) = (live.elapsed.milliseconds, live.inPhase.milliseconds)
        (pagesDone, pages, bytesSent, rate) = (live.pagesDone, live.pages, live.bytesSent, live.rate)
        bytesLeft = live.pagesLeft * pageSize
        (remainingMS, predictedDowntimeMS) = (live.remainingMS.map(tenths), live.predictedDowntimeMS.map(tenths))
    }

    enum CodingKeys: String, CodingKey {
        case event, phase, round, frozen, pages, rate
        case atMS = "at_ms", inPhaseMS = "in_phase_ms", pagesDone = "pages_done", bytesSent = "bytes_sent"
        case bytesLeft = "bytes_left", remainingMS = "remaining_ms", predictedDowntimeMS = "predicted_downtime_ms"
    }
}

private struct RoundEvent: Encodable {
    var event = "round"
    var round: Int
    var pages, zeroPages, samePages, bytesSent, dirtyPages: Int
    var durationMS: Double
    var predictedDowntimeMS: Double?

    init(_ number: Int, _ report: RoundReport, _ predicted: Double?) {
        (round, pages, zeroPages, samePages) = (number, report.pages, report.zeroPages, report.samePages)
        (bytesSent, dirtyPages, durationMS) = (report.bytesSent, report.dirtyPages, report.durationMS)
        predictedDowntimeMS = predicted.map(tenths)
    }

    enum CodingKeys: String, CodingKey {
        case event, round, pages
        case zeroPages = "zero_pages", samePages = "same_pages", bytesSent = "bytes_sent", dirtyPages = "dirty_pages"
        case durationMS = "duration_ms", predictedDowntimeMS = "predicted_downtime_ms"
    }
}

private struct ThrottleEvent: Encodable {
    var event = "throttle"
    var round, percent, quotaUS, periodUS: Int
    init(_ step: ThrottleStep) { (round, percent, quotaUS, periodUS) = (step.round, step.percent, step.quotaUS, step.periodUS) }
    enum CodingKeys: String, CodingKey { case event, round, percent, quotaUS = "quota_us", periodUS = "period_us" }
}

private struct DecisionEvent: Encodable {
    var event = "decision"
    var how, reason: String
    var predictedDowntimeMS: Double?
    var dirtyPages: Int?

    init(_ decision: FreezeDecision) {
        (how, reason, dirtyPages) = (decision.how.rawValue, decision.reason, decision.dirtyPages)
        predictedDowntimeMS = decision.predictedDowntimeMS.map(tenths)
    }

    enum CodingKeys: String, CodingKey {
        case event, how, reason
        case predictedDowntimeMS = "predicted_downtime_ms", dirtyPages = "dirty_pages"
    }
}

private struct FindingEvent: Encodable {
    var event = "finding"
    var severity, code, host, what, why, hint: String
    init(_ finding: Finding) {
        (severity, code, host) = (finding.severity.rawValue, finding.code, finding.role.rawValue)
        (what, why, hint) = (finding.what, finding.why, finding.hint)
    }
}

/// A prediction has no more digits than this.
private func tenths(_ value: Double) -> Double { (value * 10).rounded() / 10 }
