public import Model

/// Decides after each round whether another one pays, or how to go on.
///
/// The prediction: `downtime = max(dump and ship, final scan + dirty bytes / rate) + restore`. The last pages are sent
/// beside the dump and the shipping of images, so pages that fit in there cost nothing, and fewer pages gain nothing.
public struct Convergence: Hashable, Sendable {
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

        /// Medians of together.md's table (10 MB container: dump 14, ship 2.5, restore 20 ms), 0.08 and 0.04 ms for each
        /// socket on the two sides, and 3 ms/GB for the scan of memory.md. If they are too low, rounds go on that gain
        /// nothing; too high, and a freeze comes a round early.
        public static func estimate(sockets: Int, memory: ByteCount) -> FixedCosts {
            FixedCosts(
                dumpAndShip: 16.5 + 0.08 * Double(sockets), finalScan: 1 + 3 * Double(memory.rawValue) / 1e9,
                restore: 20 + 0.04 * Double(sockets))
        }

        /// The shortest downtime that any number of rounds can reach, ms.
        public var floor: Double { max(dumpAndShip, finalScan) + restore }
    }

    public enum Decision: Hashable, Sendable {
        case anotherRound
        /// Freeze and send the rest: the prediction is good enough, or no round makes it better and no limit is broken.
        case freezeNow(reason: String)
        /// Freeze, leave the rest behind.
        case switchToHybrid(reason: String)
        /// Freeze and send the rest although that takes longer than the limit.
        case stopCopy(reason: String)
        /// Roll back: a strict limit can't be met.
        case giveUp(reason: String)

        public var reason: String? {
            switch self {
            case .anotherRound: nil
            case .freezeNow(let reason), .switchToHybrid(let reason), .stopCopy(let reason), .giveUp(let reason): reason
            }
        }
    }

    /// A round must shorten the prediction to at most this share of the best one before, else it counts as not falling.
    /// Share; noise of round times on a busy 2-core host is about 10 % (memory.md's medians). Nearer to 1: many rounds for
    /// nothing; smaller: slow but steady convergence is given up.
    static let fallingShare = 0.9
    /// Rounds in a row that may fail to fall before the loop ends. One burst of the workload must not end it.
    static let patience = 2
    /// Rounds below this many bytes tell nothing of the link: they are latency. 1 MiB is about 1 ms at 10 Gbit/s.
    static let smallestTellingRound = 1 << 20
    /// Bytes per second assumed before any round told better: 1 Gbit/s less overhead, the slowest link common between
    /// servers. Used only when every round was tiny, when it hardly matters.
    static let assumedRate = 117_000_000.0

    let method: Method
    let limit: Double?
    let strict: Bool
    let threshold: Int?
    let maxRounds: Int
    let hybridAllowed: Bool
    let fixed: FixedCosts
    /// Bytes per second, best of what was told and seen, capped by `--bandwidth`.
    private var rate: Double?
    private let cap: Double?
    private var rounds = 0
    private var best: Double?
    private var notFalling = 0

    /// - Parameters:
    ///   - canFetchLater: both hosts can fetch missing pages after the release.
    ///   - linkRate: a measured rate in bytes a second, if there is one.
    public init(options: MigrationOptions, canFetchLater: Bool, fixed: FixedCosts, linkRate: Double? = nil) {
        method = options.method
        limit = options.downtimeLimit.map(Double.init)
        strict = options.limitIsStrict
        threshold = options.memoryThreshold?.rawValue
        maxRounds = options.maxRounds
        hybridAllowed = canFetchLater && options.allowPostCopy && (options.method == .auto || options.method == .hybrid)
        self.fixed = fixed
        rate = linkRate
        cap = options.bandwidth.map { Double($0.rawValue) }
    }

    /// Predicted downtime of a freeze now, ms.
    public func predictedDowntime(dirtyPages: Int) -> Double {
        let bytes = Double(dirtyPages * pageSize)
        let rate = min(rate ?? Self.assumedRate, cap ?? .infinity)
        return max(fixed.dumpAndShip, fixed.finalScan + bytes / rate * 1000) + fixed.restore
    }

    /// One round is over: what next?
    public mutating func roundFinished(_ report: RoundReport) -> Decision {
        rounds += 1
        learn(report)
        let predicted = predictedDowntime(dirtyPages: report.dirtyPages)
        let dirty = report.dirtyPages * pageSize
        if let threshold, dirty <= threshold {
            return .freezeNow(reason: "\(dirty) dirty bytes are within the memory threshold of \(threshold)")
        }
        if let limit, predicted <= limit {
            return .freezeNow(reason: "predicted downtime \(ms(predicted)) is within the limit of \(ms(limit))")
        }
        if method == .hybrid {
            return .switchToHybrid(reason: "hybrid was asked for: the \(dirty) dirty bytes follow after the release")
        }
        if predicted <= fixed.floor {
            return atTheFloor(predicted)
        }
        guard rounds < maxRounds else {
            return fallBack(predicted, because: "after \(rounds) rounds, the most allowed,")
        }
        if let best, predicted > best * Self.fallingShare {
            notFalling += 1
        } else {
            notFalling = 0
        }
        best = min(best ?? predicted, predicted)
        guard notFalling < Self.patience else {
            return fallBack(predicted, because: "the workload dirties memory as fast as rounds send it:")
        }
        return .anotherRound
    }

    private mutating func learn(_ report: RoundReport) {
        guard report.bytesSent >= Self.smallestTellingRound, report.durationMS > 0 else { return }
        // The duration holds the scan as well and skipped pages cost reading, so this is what a page costs in truth,
        // not the wire alone. The best round counts: others were disturbed.
        let seen = Double(report.bytesSent) / report.durationMS * 1000
        rate = max(rate ?? 0, seen)
    }

    /// Dirty pages cost nothing any more, and yet a limit is not met.
    private func atTheFloor(_ predicted: Double) -> Decision {
        guard let limit else {
            return .freezeNow(reason: "the dirty pages fit beside the dump: no round can shorten \(ms(predicted))")
        }
        let words = "dump and restore alone take \(ms(predicted)), the limit is \(ms(limit))"
        return strict ? .giveUp(reason: words) : .stopCopy(reason: words + "; no method is faster")
    }

    private func fallBack(_ predicted: Double, because: String) -> Decision {
        let words = "\(because) predicted downtime is \(ms(predicted))"
        guard let limit else {
            return .freezeNow(reason: words + ", and more rounds don't shorten it")
        }
        let missed = words + ", the limit is \(ms(limit))"
        if hybridAllowed, fixed.floor <= limit || !strict {
            return .switchToHybrid(reason: missed + "; the rest follows after the release")
        }
        return strict ? .giveUp(reason: missed) : .stopCopy(reason: missed + "; the rest is sent frozen")
    }

    private func ms(_ value: Double) -> String { "\(Int(value.rounded(.up))) ms" }
}
