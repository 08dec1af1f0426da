import Host
import Model
import Plan
import Synchronization

/// The source's loop: one event in, a few actions out, each carried out by its doer, whose end is the next event.
///
/// Deciding is `SourceMachine`'s; this loop knows only which doer carries out which action, and keeps the timers.
final class SourceRunner: Sendable {
    private let mailbox: Mailbox<SourceEvent>
    private let doers: SourceDoers
    private let reporter: any ProgressReporter
    private let record: MigrationRecord
    private let meter: ProgressMeter?

    init(
        mailbox: Mailbox<SourceEvent>, doers: SourceDoers, reporter: any ProgressReporter, record: MigrationRecord,
        meter: ProgressMeter? = nil
    ) {
        self.mailbox = mailbox
        self.doers = doers
        self.reporter = reporter
        self.record = record
        self.meter = meter
    }

    /// Runs the machine to its end.
    func run(_ machine: consuming SourceMachine) -> Ending {
        let hurry = Hurry { [doers] in doers.link.carriers() }
        defer { hurry.end() }
        var timers = Timers<SourceTimer>()
        mailbox.post(.started)
        while true {
            let event = mailbox.next(deadline: timers.next) ?? timers.takeExpired().map(SourceEvent.timer)
            guard let event else { continue }
            let actions = machine.handle(event)
            if case .roundFinished(let round) = event { tell(round, machine.forecast) }
            for action in actions {
                switch action {
                case .enter(let phase):
                    doers.courtesy.follow(phase)
                    if doers.isShort { hurry.follow(phase) }
                    record.enter(phase)
                    meter?.entered(phase)
                    if case .copy = phase { meter?.learned(machine.forecast) }
                    reporter.report(.phase(phase, at: record.elapsed))
                    Fault.reached(.source, phase)
                case .note(let text): reporter.report(.note(text))
                case .announce(let decision):
                    record.take(decision)
                    reporter.report(.decision(decision))
                case .throttle(let step):
                    record.take(step)
                    reporter.report(.throttle(step))
                    doers.perform(action)
                case .startTimer(let timer, let after): timers.start(timer, after)
                case .stopTimer(let timer): timers.stop(timer)
                case .finish(let ending):
                    record.finish()
                    return ending
                case .take(let ways):
                    record.take(ways)
                    doers.perform(action)
                default:
                    if case .rollBack = action {
                        hurry.end()
                        doers.courtesy.end()
                    }
                    doers.perform(action)
                }
            }
            if case .received(.running(let running)) = event { record.ran(running) }
        }
    }

    private func tell(_ round: RoundReport, _ forecast: Forecast?) {
        let number = record.add(round)
        reporter.report(
            .round(number, round, predictedDowntimeMS: forecast?.downtime(dirtyPages: round.dirtyPages)))
    }
}

/// What the result will tell, gathered while the migration runs.
final class MigrationRecord: Sendable {
    private struct State {
        var timeline = PhaseTimeline()
        var rounds: [RoundReport] = []
        var destinationSteps: [FrozenStep] = []
        var decision: FreezeDecision?
        var throttle: [ThrottleStep] = []
        var offset = ClockOffset()
        var ways: Ways?
    }
    private let began: MonotonicInstant
    private let state = Mutex(State())

    init(began: MonotonicInstant = .now) { self.began = began }

    var elapsed: Duration { began.elapsed }

    func enter(_ phase: Phase) { state.withLock { $0.timeline.enter(phase, at: elapsed) } }
    func finish() { state.withLock { $0.timeline.finish(at: elapsed) } }
    func take(_ decision: FreezeDecision) { state.withLock { $0.decision = decision } }

    func take(_ step: ThrottleStep) { state.withLock { $0.throttle.append(step) } }

    /// - Returns: the round's number.
    func add(_ round: RoundReport) -> Int {
        state.withLock { state in
            state.rounds.append(round)
            return state.rounds.count - 1
        }
    }

    func take(_ ways: Ways) { state.withLock { $0.ways = ways } }
    /// Nil as long as they aren't chosen.
    var ways: Ways? { state.withLock { $0.ways } }

    func take(_ probe: ClockProbe) {
        let received = MonotonicInstant.now.nanoseconds
        state.withLock { $0.offset.take(probe, received: received) }
    }

    /// The destination's time of the thaw, by our clock.
    func ran(_ running: Running) {
        state.withLock { state in
            let here = state.offset.atSource(running.thawedAt)
            state.timeline.ran(at: .nanoseconds(here - began.nanoseconds))
            state.destinationSteps = running.steps
        }
    }

    /// Both ends' steps of the freeze by our clock; what was done before it (journals, files) is left out.
    private func steps(_ here: [FrozenStep], _ state: State) -> [StepSpan] {
        let mine = here.map { StepSpan($0, side: .source, migrationBegan: began.nanoseconds) }
        let theirs = state.destinationSteps.map {
            StepSpan($0, side: .destination, migrationBegan: began.nanoseconds + state.offset.offset)
        }
        guard let freeze = state.timeline.spans.first(where: \.frozen)?.startMS else { return [] }
        return (mine + theirs).filter { $0.startMS + $0.durationMS >= freeze }.sorted { $0.startMS < $1.startMS }
    }

    func result(
        _ ending: Ending, container: String, engine: String, method: Method, source: String, destination: String,
        memory: Int, bytesSent: Int, steps: [FrozenStep]
    ) -> MigrationResult {
        state.withLock { state in
            var result = MigrationResult(
                outcome: ending.outcome, container: container, engine: engine, method: method.rawValue, source: source,
                destination: destination, downtimeMS: state.timeline.downtime?.milliseconds ?? 0,
                totalMS: (state.timeline.total ?? elapsed).milliseconds, phases: state.timeline.spans,
                steps: self.steps(steps, state), rounds: state.rounds, memoryBytes: memory, bytesSent: bytesSent,
                decision: state.decision,
                error: ending.problem)
            result.throttle = state.throttle.isEmpty ? nil : state.throttle
            result.dump = state.ways?.dump.rawValue
            result.restore = state.ways?.restore.rawValue
            result.tracker = method.hasRounds ? state.ways?.tracker?.rawValue : nil
            return result
        }
    }
}
