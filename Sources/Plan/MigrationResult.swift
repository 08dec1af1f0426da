/// The last line of `--json`: exactly the document of the command-line contract.
public struct MigrationResult: Hashable, Sendable, Codable {
    public var event = "result"
    public var outcome: Outcome
    public var container: String
    public var engine: String
    /// The method that was carried out; of `auto`, what it became.
    public var method: String
    /// The ways that were gone (`Ways`); absent if it never came to that. `tracker` is absent too where nothing was tracked.
    public var dump: String?
    public var restore: String?
    public var tracker: String?
    public var source: String
    public var destination: String
    /// From the freeze at the source to the thaw at the destination; 0 if it never ran there.
    public var downtimeMS: Double
    public var totalMS: Double
    public var phases: [PhaseSpan]
    /// What was done in the freeze, at both ends, in order of their starts.
    public var steps: [StepSpan]
    public var rounds: [RoundReport]
    public var memoryBytes: Int
    public var bytesSent: Int
    /// How the rounds ended; absent if they never did.
    public var decision: FreezeDecision?
    /// What was taken of the workload's processor time, step by step; absent if nothing was.
    public var throttle: [ThrottleStep]?
    /// Absent on success.
    public var error: Problem?

    public init(
        outcome: Outcome, container: String, engine: String, method: String, source: String, destination: String,
        downtimeMS: Double, totalMS: Double, phases: [PhaseSpan], steps: [StepSpan] = [], rounds: [RoundReport],
        memoryBytes: Int, bytesSent: Int, decision: FreezeDecision? = nil, error: Problem?
    ) {
        self.outcome = outcome
        self.container = container
        self.engine = engine
        self.method = method
        self.source = source
        self.destination = destination
        self.downtimeMS = downtimeMS
        self.totalMS = totalMS
        self.phases = phases
        self.steps = steps
        self.rounds = rounds
        self.memoryBytes = memoryBytes
        self.bytesSent = bytesSent
        self.decision = decision
        self.error = error
    }

    private enum CodingKeys: String, CodingKey {
        case event, outcome, container, engine, method, dump, restore, tracker, source, destination
        case downtimeMS = "downtime_ms"
        case totalMS = "total_ms"
        case phases, steps, rounds
        case memoryBytes = "memory_bytes"
        case bytesSent = "bytes_sent"
        case decision, throttle, error
    }
}

/// One phase in the result.
public struct PhaseSpan: Hashable, Sendable, Codable {
    public var name: String
    /// Only of `copy`.
    public var round: Int?
    public var startMS: Double
    public var durationMS: Double
    public var frozen: Bool

    public init(name: String, round: Int? = nil, startMS: Double, durationMS: Double, frozen: Bool) {
        self.name = name
        self.round = round
        self.startMS = startMS
        self.durationMS = durationMS
        self.frozen = frozen
    }

    private enum CodingKeys: String, CodingKey {
        case name, round
        case startMS = "start_ms"
        case durationMS = "duration_ms"
        case frozen
    }
}

/// What one round did.
public struct RoundReport: Hashable, Sendable, Codable {
    /// Pages looked at because they were dirty (round 0: all).
    public var pages: Int
    /// On the wire, after skipping zero and unchanged pages and compressing.
    public var bytesSent: Int
    public var durationMS: Double
    /// Pages found dirty when the round ended: what a freeze now would have to send.
    public var dirtyPages: Int
    /// Of `pages`, those of zeros, and those with the content that the destination already has: neither travels.
    public var zeroPages: Int
    public var samePages: Int
    /// Processors that the container kept busy meanwhile; nil where nobody counts.
    public var processors: Double?

    public init(
        pages: Int, bytesSent: Int, durationMS: Double, dirtyPages: Int, zeroPages: Int = 0, samePages: Int = 0,
        processors: Double? = nil
    ) {
        self.processors = processors
        self.pages = pages
        self.bytesSent = bytesSent
        self.durationMS = durationMS
        self.dirtyPages = dirtyPages
        self.zeroPages = zeroPages
        self.samePages = samePages
    }

    private enum CodingKeys: String, CodingKey {
        case pages
        case bytesSent = "bytes_sent"
        case durationMS = "duration_ms"
        case dirtyPages = "dirty_pages"
        case zeroPages = "zero_pages"
        case samePages = "same_pages"
        case processors
    }
}
