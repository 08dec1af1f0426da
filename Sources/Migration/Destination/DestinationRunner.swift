import Host
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
    func run(_ machine: consuming DestinationMachine) -> Ending {
        var timers = Timers<DestinationTimer>()
        mailbox.post(.started)
        while true {
            let event = mailbox.next(deadline: timers.next) ?? timers.takeExpired().map(DestinationEvent.timer)
            guard let event else { continue }
            for action in machine.handle(event) {
                switch action {
                case .enter(let phase):
                    logLine("\(name): \(phase.label)")
                    Fault.reached(.destination, phase)
                case .note(let text): logLine("\(name): \(text)")
                case .startTimer(let timer, let after): timers.start(timer, after)
                case .stopTimer(let timer): timers.stop(timer)
                case .finish(let ending): return ending
                default: doers.perform(action)
                }
            }
        }
    }
}
