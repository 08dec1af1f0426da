public import Model
public import Plan

/// What a migration tells those who watch it.
public enum Progress: Sendable {
    /// A phase began, `at` after the migration's begin.
    case phase(Phase, at: Duration)
    /// Words for the person: what was chosen and why, what is waited for.
    case note(String)
    /// Several times a second.
    case live(LiveProgress)
    /// A round is over; with the predicted downtime of a freeze right after it, ms.
    case round(Int, RoundReport, predictedDowntimeMS: Double?)
    /// Rounds don't converge: the container gets less processor time from now on.
    case throttle(ThrottleStep)
    /// The rounds are over, and how the rest gets over.
    case decision(FreezeDecision)
    /// All that the pre-flight found, of both hosts.
    case findings([Finding])
}

/// How far the migration is, from counters that cost nothing to read.
public struct LiveProgress: Sendable, Hashable {
    public var phase: Phase
    /// Since the migration's begin, and since the phase's.
    public var elapsed: Duration
    public var inPhase: Duration
    /// Pages of the present pass over memory that have been handled, and all of them; 0 of 0 where no memory is copied.
    public var pagesDone = 0
    public var pages = 0
    /// Bytes on the wire since the migration began.
    public var bytesSent = 0
    /// Bytes a second on the wire, over the last second.
    public var rate = 0
    /// How long the rest of the pass takes at the rate of the rounds so far, ms.
    public var remainingMS: Double?
    /// Downtime of a freeze now, ms: see `Forecast`.
    public var predictedDowntimeMS: Double?

    public var pagesLeft: Int { pages - pagesDone }
}

/// Where progress goes. Called from several threads, one at a time; must not block for long: some of it is said while the
/// container is frozen.
public protocol ProgressReporter: Sendable {
    func report(_ progress: Progress)
}

/// For sessions and recovery, which nobody watches: notes go to the log.
struct LogReporter: ProgressReporter {
    var prefix: String
    func report(_ progress: Progress) {
        switch progress {
        case .phase(let phase, _): logLine("\(prefix): \(phase.label)")
        case .note(let text): logLine("\(prefix): \(text)")
        case .decision(let decision): logLine("\(prefix): \(decision.how.rawValue): \(decision.reason)")
        case .live, .round, .throttle, .findings: break
        }
    }
}
