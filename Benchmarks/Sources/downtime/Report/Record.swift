/// One trial with all that was seen of it.
struct Record: Codable, Sendable {
    var way: String
    /// GB as it was asked for (powers of 1024).
    var size: Double
    var underWriter: Bool
    var run: Int
    /// Nil if the trial could not be finished; `problem` says why.
    var downtimeMS: Double?
    var totalMS: Double?
    var bytesSent: Int?
    /// Acknowledged writes a second: two seconds before the migration began, while it ran, and three seconds after its end.
    var throughputBefore: Double?
    var throughputDuring: Double?
    var throughputAfter: Double?
    /// Acknowledged writes that are missing afterwards.
    var lostWrites: Int?
    var writes: Int?
    var reconnects: Int?
    var sameDigest: Bool?
    var reportedDowntimeMS: Double?
    var rounds: Int?
    var method: String?
    var steps: [Step] = []
    var details: [Detail] = []
    /// All times of at least 10 ms without a reply, ms after the migration's begin.
    var gaps: [Gap] = []
    /// Writes a second in windows of 50 ms, the first two seconds before the migration's begin.
    var throughput: [Double] = []
    /// The machine's load before the trial.
    var load: Double
    var problem: String?

    struct Gap: Codable, Sendable {
        var at: Double
        var milliseconds: Double
    }

    var isGood: Bool { problem == nil && sameDigest == true && lostWrites == 0 }
}

struct Results: Codable, Sendable {
    var name: String
    var machine: Machine
    var records: [Record]
}
