/// Takes processor time from a workload that dirties memory faster than rounds send it: a step, a round, a look, the next step.
///
/// Pure: what the workload uses goes in, a quota comes out. Shares are of what it used before the first step, not of the host's
/// processors, of which it may use one in sixty-four.
struct Throttle: Hashable, Sendable {
    /// Per cent of its processor time that the first step takes, and what each further one takes on top: QEMU's defaults
    /// (cpu-throttle-initial, cpu-throttle-increment).
    static let first = 20
    static let increment = 10
    /// The most that is taken. QEMU goes to 99; a server at a hundredth answers nobody in time, which is the outage that the rounds
    /// were to avoid. At a fifth it is slow.
    static let most = 80
    /// Microseconds; the kernel's usual 100 ms would stop the workload for 80 ms in a row, this for 8. It gets longer where the quota
    /// would be shorter than the kernel takes.
    static let period = 10_000.0
    static let longestPeriod = 100_000.0
    /// The kernel takes no shorter quota (min_cfs_quota_period), microseconds.
    static let shortestQuota = 1_000.0

    /// Taken by the last step.
    private(set) var percent = 0
    /// Processors that the workload kept busy before the first step.
    private var processors: Double?

    /// Takes in what the workload used in a round, in processors; nil where that isn't known.
    mutating func learn(processors used: Double?) { if percent == 0, let used { processors = used } }

    /// - Parameter rounds: how many are over.
    /// - Returns: nil when nothing more is to be taken.
    mutating func next(after rounds: Int) -> ThrottleStep? {
        guard let processors, percent < Self.most else { return nil }
        let taken = percent == 0 ? Self.first : min(percent + Self.increment, Self.most)
        let left = processors * Double(100 - taken) / 100
        guard left * Self.longestPeriod >= Self.shortestQuota else { return nil }
        let period = max(Self.period, Self.shortestQuota / left)
        percent = taken
        return ThrottleStep(
            round: rounds, percent: taken, quotaUS: max(Int(left * period), Int(Self.shortestQuota)),
            periodUS: Int(period.rounded(.up)))
    }
}

/// From a round on the workload gets less processor time; part of progress and result.
public struct ThrottleStep: Hashable, Sendable, Codable {
    /// The first round with it.
    public var round: Int
    /// Per cent of what it used before that are taken.
    public var percent: Int
    /// What it gets in each period, of all processors together, in microseconds.
    public var quotaUS: Int
    public var periodUS: Int

    public init(round: Int, percent: Int, quotaUS: Int, periodUS: Int) {
        (self.round, self.percent, self.quotaUS, self.periodUS) = (round, percent, quotaUS, periodUS)
    }

    private enum CodingKeys: String, CodingKey {
        case round, percent
        case quotaUS = "quota_us"
        case periodUS = "period_us"
    }
}
