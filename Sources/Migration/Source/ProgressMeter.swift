import Host
import Model
import Plan
import Synchronization

/// How far the present pass over memory is; counted anyway.
struct PassCounters: Sendable {
    var pagesDone = 0
    var pages = 0
    /// Since the migration's begin.
    var bytesSent = 0
}

/// Tells those who watch how far the migration is, five times a second, from counters.
///
/// In the frozen window it says nothing unless that lasts for long: the processors belong to the dump and the restore.
final class ProgressMeter: Sendable {
    /// Often enough to look alive, and seldom enough to cost nothing: a tick takes some tens of microseconds.
    static let interval = Duration.milliseconds(200)
    /// A freeze that lasts longer than this is one that a person wants to watch; shorter ones stay undisturbed.
    static let quietFreeze = Duration.milliseconds(500)
    /// Ticks over which the rate is taken: one second.
    private static let window = 5

    private struct State {
        var phase: Phase?
        var since = MonotonicInstant.now
        var frozenSince: MonotonicInstant?
        var forecast: Forecast?
        /// Moments and bytes sent then, the oldest first.
        var sent: [(at: MonotonicInstant, bytes: Int)] = []
    }

    private let record: MigrationRecord
    private let counters: @Sendable () -> PassCounters
    private let state = Mutex(State())
    private let ticker = Mutex<Ticker?>(nil)

    init(record: MigrationRecord, counters: @escaping @Sendable () -> PassCounters) {
        (self.record, self.counters) = (record, counters)
    }

    func start(_ reporter: any ProgressReporter) throws(SystemError) {
        let made = try Ticker(every: Self.interval) { [weak self] in
            if let progress = self?.tick() { reporter.report(.live(progress)) }
        }
        ticker.withLock { $0 = made }
    }

    func stop() {
        let running = ticker.withLock { ticker in
            defer { ticker = nil }
            return ticker
        }
        running?.stop()
    }

    /// A phase begins. A lock and three words: called in the frozen window.
    func entered(_ phase: Phase) {
        state.withLock { state in
            (state.phase, state.since) = (phase, .now)
            if phase == .cut { state.frozenSince = .now }
            if phase == .fill || phase == .clean { state.frozenSince = nil }
        }
    }

    /// A round told more.
    func learned(_ forecast: Forecast?) { state.withLock { $0.forecast = forecast } }

    /// - Returns: nil when there is nothing to say.
    private func tick() -> LiveProgress? {
        let counted = counters()  // not with the lock held: `entered` must never wait for it
        return state.withLock { state in
            guard let phase = state.phase else { return nil }
            if let frozen = state.frozenSince, frozen.elapsed < Self.quietFreeze { return nil }
            var progress = LiveProgress(phase: phase, elapsed: record.elapsed, inPhase: state.since.elapsed)
            progress.bytesSent = counted.bytesSent
            progress.rate = Self.rate(&state, counted.bytesSent)
            guard phase.copiesMemory else { return progress }
            progress.pagesDone = min(counted.pagesDone, counted.pages)
            progress.pages = counted.pages
            if var forecast = state.forecast {
                forecast.assume(rate: Double(progress.rate))
                progress.remainingMS = forecast.time(toSend: progress.pagesLeft)
                if case .copy = phase {
                    progress.predictedDowntimeMS = forecast.downtime(
                        remaining: progress.pagesLeft, elapsed: progress.inPhase.inMilliseconds)
                }
            }
            return progress
        }
    }

    private static func rate(_ state: inout State, _ bytes: Int) -> Int {
        state.sent.append((.now, bytes))
        if state.sent.count > window + 1 { state.sent.removeFirst() }
        guard let first = state.sent.first, let last = state.sent.last, first.at < last.at else { return 0 }
        return Int(Double(last.bytes - first.bytes) / (last.at - first.at).inMilliseconds * 1000)
    }
}

extension Phase {
    /// Whether pages travel in it.
    fileprivate var copiesMemory: Bool {
        switch self {
        case .copy, .capture, .ship, .restore, .fill: true
        default: false
        }
    }
}

/// Calls a body at intervals on a thread of its own.
final class Ticker: Sendable {
    private let over = Monitor(false)
    private let thread: Host.Thread

    init(every interval: Duration, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        let over = over
        thread = try Host.Thread(named: "progress") {
            while over.wait(until: .now + interval, { $0 ? true : nil }) == nil { body() }
        }
    }

    func stop() {
        over.withLock { $0 = true }
        thread.join()
    }
}
