/// The last line of `martlet migrate --json`, decoded from the contract's words and not from the program's types, so that a change of
/// the program that breaks the contract is noticed.
public struct MigrationReport: Decodable, Sendable {
    public struct Phase: Decodable, Sendable {
        public var name: String
        public var startMs: Double
        public var durationMs: Double
        public var frozen: Bool
    }

    public struct Round: Decodable, Sendable {
        public var pages: Int
        public var bytesSent: Int
        public var durationMs: Double
        public var dirtyPages: Int
    }

    public struct Problem: Decodable, Sendable {
        public var what: String
        public var why: String
        public var hint: String
    }

    public var outcome: String
    public var container: String
    public var engine: String
    public var method: String
    public var dump: String?
    public var restore: String?
    public var tracker: String?
    public var source: String
    public var destination: String
    public var downtimeMs: Double
    public var totalMs: Double
    public var phases: [Phase]
    public var rounds: [Round]
    public var memoryBytes: Int
    public var bytesSent: Int
    public var decision: Decision?
    public var throttle: [Throttle]?
    public var error: Problem?

    public struct Throttle: Decodable, Sendable {
        public var percent: Int
    }

    public struct Decision: Decodable, Sendable {
        public var how: String
        public var reason: String
        public var predictedDowntimeMs: Double?
    }
}

/// Any line of `--json`, as far as tests look at it.
public struct ProgressEvent: Decodable, Sendable {
    public var event: String
    public var phase: String?
    public var round: Int?
    public var text: String?
    /// Of a finding.
    public var severity: String?
    public var code: String?
    public var what: String?
    /// Of a decision.
    public var how: String?
    public var reason: String?
    /// Of a throttle.
    public var percent: Int?
    /// Of live progress.
    public var rate: Int?
    public var bytesLeft: Int?
    public var remainingMs: Double?
    public var predictedDowntimeMs: Double?
    public var why: String?
    public var hint: String?
}
