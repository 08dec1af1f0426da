/// What the clients do while the service moves, beside the one that asks every millisecond.
protocol Load: Sendable {
    /// Before anything is measured.
    func prepare() throws
    /// Until the stop sign.
    func run() -> LoadOutcome
    /// Acknowledged work that is missing afterwards, and whatever is to be tidied up.
    func verify(_ outcome: LoadOutcome) throws -> Int
}

struct LoadOutcome: Sendable {
    var operations = 0
    /// Operations in each window of 50 ms, the first beginning at the probe's start.
    var windows: [Int] = []
    var latencies = Latencies(pace: millisecond)
    var reconnects = 0
    /// The longest time without an answer on its open connections, ms.
    var longestGapMS = 0.0
    var problem: String?

    mutating func count(_ operations: Int, at: Int64, start: Int64) {
        guard at >= start else { return }
        let index = Int((at - start) / Probe.window)
        while windows.count <= index { windows.append(0) }
        windows[index] += operations
        self.operations += operations
    }
}

/// Numbered writes to a redis, each looked for afterwards.
struct RedisLoad: Load {
    var writer: Writer

    func prepare() throws { try writer.prepare() }

    func run() -> LoadOutcome {
        let written = writer.run()
        return LoadOutcome(
            operations: written.acknowledged, windows: written.windows, latencies: written.latencies,
            reconnects: written.reconnects, longestGapMS: written.longestGapMS, problem: written.refusal)
    }

    func verify(_ outcome: LoadOutcome) throws -> Int {
        let lost = try writer.lostWrites(acknowledged: outcome.operations)
        try writer.removeKeys()
        return lost
    }
}
