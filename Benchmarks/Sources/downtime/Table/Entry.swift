/// What was measured in a cell.
struct Entry: Codable, Sendable {
    var workload: String
    /// `idle` or `load`.
    var load: String
    var link: String
    var way: String
    var run: Int
    /// The longest time without an answer of the service, ms; nil if the move could not be finished (`problem`).
    var downtimeMS: Double?
    /// The same on the load's own connections, which stay open.
    var openGapMS: Double?
    /// As Martlet says it: freeze to thaw.
    var reportedDowntimeMS: Double?
    var totalMS: Double?
    /// Of memory, files and all else, by the source's network card.
    var bytesSent: Int?
    /// Operations a second.
    var rateBefore: Double?
    var rateDuring: Double?
    var rateAfter: Double?
    /// Of a question asked every millisecond.
    var before: Latencies.Summary?
    var during: Latencies.Summary?
    var after: Latencies.Summary?
    /// Of the load's operations.
    var loadBefore: Latencies.Summary?
    var loadDuring: Latencies.Summary?
    var loadAfter: Latencies.Summary?
    /// Acknowledged work that is missing.
    var lost: Int?
    /// Connections that the load had to open again.
    var reconnects: Int?
    var sameState: Bool?
    /// What `auto` became.
    var method: String?
    var rounds: Int?
    var steps: [Step] = []
    /// Times of at least 10 ms without an answer, ms after the command.
    var gaps: [Record.Gap] = []
    /// Operations a second, and the 99th percentile of the question in ms, in windows of 50 ms; the first two seconds before the command.
    var throughput: [Double] = []
    var latency: [Double] = []
    /// The machine's load before.
    var loadAverage: Double
    /// That the whole cell took, with filling and checking.
    var seconds: Double = 0
    var problem: String?

    init(_ cell: Cell, run: Int) {
        (workload, link, way, self.run) = (cell.workload.name, cell.link.rawValue, cell.way.name, run)
        load = cell.isLoaded ? "load" : "idle"
        loadAverage = Machine.load
    }

    var isGood: Bool { problem == nil && sameState == true && lost == 0 }
}
