public import Model
public import Plan

/// What a migration tells those who watch it.
public enum Progress: Sendable {
    /// A phase began, `at` after the migration's begin.
    case phase(Phase, at: Duration)
    /// Words for the person: what was chosen and why, what is waited for.
    case note(String)
    /// Several times a second while memory is copied.
    case copying(CopyProgress)
    /// All that the pre-flight found, of both hosts.
    case findings([Finding])
}

/// How far a round is.
public struct CopyProgress: Sendable, Hashable, Codable {
    public var round: Int
    /// Pages of this round that have been handled, and all of them.
    public var pagesDone: Int
    public var pages: Int
    /// Bytes on the wire since the migration began.
    public var bytesSent: Int
    /// Bytes a second on the wire in this round so far.
    public var rate: Int
    /// Downtime if the freeze came now, ms, as the last round predicts it.
    public var predictedDowntimeMS: Double?
}

/// Where progress goes. Called from several threads, one at a time.
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
        case .copying, .findings: break
        }
    }
}
