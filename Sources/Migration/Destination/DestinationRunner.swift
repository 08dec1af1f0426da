import Host
import Model
import Plan

/// The destination's loop, the mirror of `SourceRunner`.
final class DestinationRunner: Sendable {
    private let mailbox: Mailbox<DestinationEvent>
    private let doers: DestinationDoers
    private let name: String

    init(mailbox: Mailbox<DestinationEvent>, doers: DestinationDoers, name: String) {
        self.mailbox = mailbox
        self.doers = doers
        self.name = name
    }

    /// Runs the machine to its end.
    /// - Parameter greeting: how long to wait for the first connection; without one the session has no purpose.
    func run(_ machine: consuming DestinationMachine, greeting: Duration? = nil) -> Ending {
        let hurry = Hurry { [doers] in doers.link.carriers() }
        defer { hurry.end() }
        var timers = Timers<DestinationTimer>()
        var deadline = greeting.map { MonotonicInstant.now + $0 }
        if deadline == nil { mailbox.post(.started) }
        while true {
            let next = [timers.next, deadline].compactMap { $0 }.min()
            let event = mailbox.next(deadline: next) ?? timers.takeExpired().map(DestinationEvent.timer)
            guard let event else {
                guard let limit = deadline, limit <= .now else { continue }
                return Ending(
                    .refused, problem: Problem(what: "receive a container", why: "nobody with a valid certificate came"))
            }
            deadline = nil
            for action in machine.handle(event) {
                switch action {
                case .enter(let phase):
                    doers.courtesy.follow(phase)
                    if doers.isShort { hurry.follow(phase) }
                    logLine("\(name): \(phase.label)")
                    Fault.reached(.destination, phase)
                case .note(let text): logLine("\(name): \(text)")
                case .startTimer(let timer, let after): timers.start(timer, after)
                case .stopTimer(let timer): timers.stop(timer)
                case .finish(let ending): return ending
                default:
                    if case .discard = action {
                        hurry.end()
                        doers.courtesy.end()
                    }
                    doers.perform(action)
                }
            }
        }
    }
}
