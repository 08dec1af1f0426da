import Model

/// Decides after each round whether another one pays, or how to go on. Ends in any case: after `--max-rounds` rounds at the
/// latest, and before that when the prediction stops falling.
public struct Convergence: Hashable, Sendable {
    public enum Decision: Hashable, Sendable {
        case anotherRound
        /// Another round, with less processor time for the workload (`--auto-converge`).
        case throttle(ThrottleStep)
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
            case .anotherRound, .throttle: nil
            case .freezeNow(let reason), .switchToHybrid(let reason), .stopCopy(let reason), .giveUp(let reason): reason
            }
        }
    }

    /// A round must shorten the prediction to at most this share of the best one before, else it counts as not falling.
    /// Share; noise of round times on a busy 2-core host is about 10 %. Nearer to 1: many rounds for nothing; smaller: slow
    /// but steady convergence is given up.
    static let fallingShare = 0.9
    /// Rounds in a row that may fail to fall before the loop ends. One burst of the workload must not end it.
    static let patience = 2

    let method: Method
    let limit: Double?
    let strict: Bool
    let threshold: Int?
    let maxRounds: Int
    let allowPostCopy: Bool
    let canFetchLater: Bool
    /// Nil: the workload's processor time is not to be touched.
    private var throttle: Throttle?
    /// What the rounds told so far.
    public private(set) var forecast: Forecast
    private var rounds = 0
    private var best: Double?
    private var notFalling = 0

    /// - Parameters:
    ///   - canFetchLater: both hosts can fetch missing pages after the release.
    ///   - linkRate: a measured rate in bytes a second, if there is one.
    public init(
        options: MigrationOptions, canFetchLater: Bool, fixed: Forecast.FixedCosts, linkRate: Double? = nil
    ) {
        method = options.method
        limit = options.downtimeLimit.map(Double.init)
        strict = options.limitIsStrict
        threshold = options.memoryThreshold?.rawValue
        maxRounds = options.maxRounds
        allowPostCopy = options.allowPostCopy
        self.canFetchLater = canFetchLater
        throttle = options.autoConverge ? Throttle() : nil
        forecast = Forecast(fixed: fixed, linkRate: linkRate, bandwidth: options.bandwidth)
    }

    private var hybridAllowed: Bool { canFetchLater && allowPostCopy && (method == .auto || method == .hybrid) }
    private var fixed: Forecast.FixedCosts { forecast.fixed }

    /// Predicted downtime of a freeze now, ms.
    public func predictedDowntime(dirtyPages: Int) -> Double { forecast.downtime(dirtyPages: dirtyPages) }

    /// One round is over: what next?
    public mutating func roundFinished(_ report: RoundReport) -> Decision {
        rounds += 1
        forecast.learn(report)
        throttle?.learn(processors: report.processors)
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
            return fallBack(predicted, because: "after \(rounds) round\(rounds == 1 ? "" : "s"), the most allowed,")
        }
        if let best, predicted > best * Self.fallingShare {
            notFalling += 1
        } else {
            notFalling = 0
        }
        best = min(best ?? predicted, predicted)
        guard notFalling < Self.patience else {
            if let step = throttle?.next(after: rounds) {
                // Whether a step helps shows in its first round.
                notFalling = Self.patience - 1
                return .throttle(step)
            }
            return fallBack(predicted, because: "the workload dirties memory as fast as rounds send it" + throttled + ":")
        }
        return .anotherRound
    }

    private var throttled: String {
        guard let taken = throttle?.percent, taken > 0 else { return "" }
        return ", although \(taken) % of its processor time was taken"
    }

    /// What the decision means for a freeze of `dirtyPages`.
    func choice(_ decision: Decision, dirtyPages: Int) -> FreezeDecision? {
        let predicted = predictedDowntime(dirtyPages: dirtyPages)
        return switch decision {
        case .anotherRound, .throttle: nil
        case .freezeNow(let reason):
            FreezeDecision(.preCopy, reason: reason, predictedDowntimeMS: predicted, dirtyPages: dirtyPages)
        case .stopCopy(let reason):
            FreezeDecision(.stopCopy, reason: reason, predictedDowntimeMS: predicted, dirtyPages: dirtyPages)
        case .switchToHybrid(let reason):
            FreezeDecision(.postCopy, reason: reason, predictedDowntimeMS: fixed.floor, dirtyPages: dirtyPages)
        case .giveUp(let reason):
            FreezeDecision(.giveUp, reason: reason, predictedDowntimeMS: predicted, dirtyPages: dirtyPages)
        }
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
        return strict ? .giveUp(reason: missed) : .stopCopy(reason: missed + "; " + whyFrozen + "the rest is sent frozen")
    }

    private var whyFrozen: String {
        if !allowPostCopy { return "post-copy is forbidden (--no-post-copy): " }
        return canFetchLater ? "" : "these hosts can't fetch pages later: "
    }

    private func ms(_ value: Double) -> String { "\(Int(value.rounded(.up))) ms" }
}
