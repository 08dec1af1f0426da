import Host
import Migration
import Model
import Plan
import Synchronization

/// Progress for people: a line a phase, a round and a decision. On a terminal one more below them that is rewritten several times
/// a second; elsewhere that is a plain line every few seconds, for logs.
final class TerminalView: ProgressReporter {
    private struct State {
        /// The rewritten line stands there.
        var isLive = false
        var lastPlain = MonotonicInstant.now
    }
    private let state = Mutex(State())
    /// Nil: not a terminal.
    private let terminal: Int32?

    /// Between two plain lines of one phase: what a log of an hour can bear.
    private static let plainInterval = Duration.seconds(5)

    init() { terminal = Terminal.errorIsTerminal ? 2 : nil }

    func report(_ progress: Progress) {
        switch progress {
        case .phase(let phase, let at):
            line("\(stamp(at))  \(phase.label)\(phase == .freeze ? " (the container stands still)" : "")")
        case .note(let text): line(indent + text)
        case .findings(let findings): for finding in findings { line(Words.finding(finding)) }
        case .round(let number, let round, let predicted): line(indent + Words.round(number, round, predicted))
        case .throttle(let step): line(indent + Words.throttle(step))
        case .decision(let decision): line(indent + Words.decision(decision))
        case .live(let live): show(live)
        }
    }

    /// Takes the live line away.
    func finish() { state.withLock { clear(&$0) } }

    private let indent = String(repeating: " ", count: 13)
    private func stamp(_ at: Duration) -> String { Words.padded(Words.milliseconds(at.milliseconds), 11) }

    private func line(_ text: String) {
        state.withLock { state in
            clear(&state)
            state.lastPlain = .now
            Terminal.error(text)
        }
    }

    private func clear(_ state: inout State) {
        if state.isLive { Terminal.raw("\r\u{1B}[K", to: 2) }
        state.isLive = false
    }

    private func show(_ live: LiveProgress) {
        state.withLock { state in
            if let terminal {
                state.isLive = true
                let width = Terminal.width(of: terminal)
                Terminal.raw("\r\u{1B}[K" + Words.live(live, width: width - 1), to: 2)
            } else if state.lastPlain.elapsed > Self.plainInterval {
                state.lastPlain = .now
                Terminal.error(indent + Words.live(live, width: 200, bar: false))
            }
        }
    }
}

/// For `--quiet`.
struct SilentView: ProgressReporter {
    func report(_ progress: Progress) {}
}
