import Host
import Migration
import Model
import Plan
import Synchronization

/// Progress on a terminal: a line a phase, and one that is rewritten while memory is copied.
final class TerminalView: ProgressReporter {
    private let live = Mutex(false)

    func report(_ progress: Progress) {
        switch progress {
        case .phase(let phase, let at): line("\(stamp(at))  \(phase.label)")
        case .note(let text): line("             \(text)")
        case .findings(let findings): for finding in findings { line(Words.finding(finding)) }
        case .copying(let copy): rewrite(copy)
        }
    }

    private func stamp(_ at: Duration) -> String { Words.padded(Words.milliseconds(at.milliseconds), 11) }

    private func line(_ text: String) {
        live.withLock { live in
            if live { Terminal.raw("\r\u{1B}[K", to: 2) }
            live = false
            Terminal.error(text)
        }
    }

    private func rewrite(_ copy: CopyProgress) {
        guard Terminal.errorIsTerminal else { return }
        var text = "             round \(copy.round): \(Words.bytes(copy.pagesDone * 4096)) of \(Words.bytes(copy.pages * 4096))"
        text += ", \(Words.bytes(copy.rate))/s"
        if let downtime = copy.predictedDowntimeMS { text += ", downtime now about \(Words.milliseconds(downtime))" }
        live.withLock { live in
            live = true
            Terminal.raw("\r\u{1B}[K" + text, to: 2)
        }
    }
}

/// One JSON object a line on standard output.
final class JSONView: ProgressReporter {
    private let lock = Mutex<Void>(())

    func report(_ progress: Progress) {
        switch progress {
        case .phase(let phase, let at):
            var event = PhaseEvent(phase: phase.name, atMS: at.milliseconds, frozen: phase.isFrozen)
            if case .copy(let round) = phase { event.round = round }
            say(event)
        case .note(let text): say(NoteEvent(text: text))
        case .copying(let copy): say(CopyEvent(copy))
        case .findings(let findings): for finding in findings { say(FindingEvent(finding)) }
        }
    }

    func say(_ value: some Encodable) { lock.withLock { _ in Terminal.line(jsonLine(value)) } }

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

    private struct CopyEvent: Encodable {
        var event = "copying"
        var round, pagesDone, pages, bytesSent, rate: Int
        var predictedDowntimeMS: Double?
        init(_ copy: CopyProgress) {
            (round, pagesDone, pages) = (copy.round, copy.pagesDone, copy.pages)
            (bytesSent, rate, predictedDowntimeMS) = (copy.bytesSent, copy.rate, copy.predictedDowntimeMS)
        }
        enum CodingKeys: String, CodingKey {
            case event, round, pages, rate
            case pagesDone = "pages_done", bytesSent = "bytes_sent", predictedDowntimeMS = "predicted_downtime_ms"
        }
    }

    struct FindingEvent: Encodable {
        var event = "finding"
        var severity, code, host, what, why, hint: String
        init(_ finding: Finding) {
            (severity, code, host) = (finding.severity.rawValue, finding.code, finding.role.rawValue)
            (what, why, hint) = (finding.what, finding.why, finding.hint)
        }
    }
}

/// For `--quiet`.
struct SilentView: ProgressReporter {
    func report(_ progress: Progress) {}
}
