public import Model

/// What is known of the way at some moment of the copy, and what follows from it: how long a freeze would last.
///
/// A value: rounds and counters go in, no clock. The prediction:
/// `downtime = max(dump and ship, final scan + wire bytes of the dirty pages / rate) + restore`.
/// The last pages are sent beside the dump and the shipping of images, so pages that fit in there cost nothing, and fewer
/// pages gain nothing.
public struct Forecast: Hashable, Sendable {
    /// What no round can shorten, ms.
    public struct FixedCosts: Hashable, Sendable {
        public var dumpAndShip: Double
        public var finalScan: Double
        public var restore: Double

        public init(dumpAndShip: Double, finalScan: Double, restore: Double) {
            self.dumpAndShip = dumpAndShip
            self.finalScan = finalScan
            self.restore = restore
        }

        /// Medians of the joined prototype's table (10 MB container: dump 14, ship 2.5, restore 20 ms), 0.08 and 0.04 ms for
        /// each socket on the two sides, and 3 ms/GB for the scan. If they are too low, rounds go on that gain nothing;
        /// too high, and a freeze comes a round early.
        public static func estimate(sockets: Int, memory: ByteCount) -> FixedCosts {
            FixedCosts(
                dumpAndShip: 16.5 + 0.08 * Double(sockets), finalScan: 1 + 3 * Double(memory.rawValue) / 1e9,
                restore: 20 + 0.04 * Double(sockets))
        }

        /// The shortest downtime that any number of rounds can reach, ms.
        public var floor: Double { max(dumpAndShip, finalScan) + restore }
    }

    /// Rounds below this many bytes tell nothing of the link: they are latency. 1 MiB is about 1 ms at 10 Gbit/s.
    static let smallestTellingRound = 1 << 20
    /// A round counts for the rate by at most this many bytes, so that a first round of gigabytes doesn't outweigh what the
    /// link does now. 64 MiB take half a second at 1 Gbit/s.
    static let mostWeight = 64.0 * 1_048_576
    /// Share that older rounds keep at each new one: the last three count for nearly all.
    static let memory = 0.5
    /// Bytes per second assumed before any round told better: 1 Gbit/s less overhead, the slowest link common between
    /// servers. Used only when every round was tiny, when it hardly matters.
    static let assumedRate = 117_000_000.0
    /// Fewer pages than this say nothing of how well the others compress or repeat.
    static let fewestTellingPages = 64

    public var fixed: FixedCosts
    /// Bytes per second that `--bandwidth` allows.
    private let cap: Double?
    private var linkRate: Double?
    private var bytes = 0.0
    private var milliseconds = 0.0
    /// Bytes on the wire for each dirty page, after skipping and compressing.
    public private(set) var bytesPerPage: Double
    /// Pages that the workload dirtied per millisecond while the last round ran; nil before the first round's end.
    public private(set) var dirtyRate: Double?
    /// All pages that were seen: more can't be dirty.
    private var pages = 0

    /// - Parameters:
    ///   - linkRate: a measured rate in bytes a second, if there is one.
    ///   - bandwidth: the most that may be sent, bytes a second.
    public init(fixed: FixedCosts, linkRate: Double? = nil, bandwidth: ByteCount? = nil) {
        self.fixed = fixed
        self.linkRate = linkRate
        cap = bandwidth.map { Double($0.rawValue) }
        bytesPerPage = Double(pageSize)
    }

    /// Bytes a second on the wire: of the last rounds, else of the link as measured, else assumed.
    public var rate: Double {
        let seen = milliseconds > 0 ? bytes / milliseconds * 1000 : linkRate ?? Self.assumedRate
        return min(seen, cap ?? .infinity)
    }

    /// Takes a rate for the link until a round has told one: what counters show in the middle of the first.
    public mutating func assume(rate: Double) { if rate > 0 { linkRate = rate } }

    /// Takes in what a round told.
    public mutating func learn(_ report: RoundReport) {
        pages = max(pages, report.pages)
        // Zero pages travel as runs and cost nothing; a page that is written to is hardly one of them.
        let content = report.pages - report.zeroPages
        if content >= Self.fewestTellingPages {
            bytesPerPage = min(max(Double(report.bytesSent) / Double(content), 1), Double(pageSize) * 1.01)
        }
        guard report.durationMS > 0 else { return }
        dirtyRate = Double(report.dirtyPages) / report.durationMS
        guard report.bytesSent >= Self.smallestTellingRound else { return }
        // The duration holds scan and reading as well: what a byte costs in truth, not the wire alone.
        let weight = min(1, Self.mostWeight / Double(report.bytesSent))
        bytes = bytes * Self.memory + Double(report.bytesSent) * weight
        milliseconds = milliseconds * Self.memory + report.durationMS * weight
    }

    /// Predicted downtime of a freeze now, ms.
    public func downtime(dirtyPages: Int) -> Double {
        let transfer = Double(dirtyPages) * bytesPerPage / rate * 1000
        return max(fixed.dumpAndShip, fixed.finalScan + transfer) + fixed.restore
    }

    /// Predicted downtime of a freeze in the middle of a round, ms: what the round has not sent yet, and what the workload
    /// will have dirtied since its scan if it goes on as in the round before.
    /// - Parameters:
    ///   - remaining: pages of the round that are not sent yet.
    ///   - elapsed: ms since the round began.
    public func downtime(remaining: Int, elapsed: Double) -> Double {
        let fresh = min((dirtyRate ?? 0) * elapsed, Double(pages))
        return downtime(dirtyPages: remaining + Int(fresh))
    }

    /// How long until `pages` are sent, ms.
    public func time(toSend pages: Int) -> Double { Double(pages) * bytesPerPage / rate * 1000 }
}

/// How memory gets over, as it was decided when the rounds ended; part of the result.
public struct FreezeDecision: Hashable, Sendable, Codable {
    public enum How: String, Hashable, Sendable, Codable, CaseIterable {
        /// The rest is small, or no limit is broken by it.
        case preCopy = "pre-copy"
        /// The rest follows after the release.
        case postCopy = "post-copy"
        /// The rest is sent frozen, although that takes longer than wished.
        case stopCopy = "stop-copy"
        /// Rolled back: the limit was strict.
        case giveUp = "give-up"
    }
    public var how: How
    public var reason: String
    /// Of the freeze that was decided; nil where nothing was measured.
    public var predictedDowntimeMS: Double?
    /// Pages that were dirty then.
    public var dirtyPages: Int?

    public init(_ how: How, reason: String, predictedDowntimeMS: Double? = nil, dirtyPages: Int? = nil) {
        self.how = how
        self.reason = reason
        self.predictedDowntimeMS = predictedDowntimeMS
        self.dirtyPages = dirtyPages
    }

    private enum CodingKeys: String, CodingKey {
        case how, reason
        case predictedDowntimeMS = "predicted_downtime_ms"
        case dirtyPages = "dirty_pages"
    }
}
