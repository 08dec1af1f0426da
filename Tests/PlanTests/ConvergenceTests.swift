import Model
import Testing

@testable import Plan

@Suite struct ConvergenceTests {
    /// 100 MB/s over 100 ms: one page of 4096 bytes takes 0.041 ms; floor 36.5 ms.
    static let fixed = Forecast.FixedCosts(dumpAndShip: 16.5, finalScan: 1, restore: 20)

    static func convergence(
        _ method: Plan.Method = .auto, later: Bool = true, _ change: (inout MigrationOptions) -> Void = { _ in }
    ) -> Convergence {
        var options = MigrationOptions()
        options.method = method
        change(&options)
        return Convergence(options: options, canFetchLater: later, fixed: fixed, linkRate: 100_000_000)
    }

    static func round(dirty: Int) -> RoundReport {
        RoundReport(pages: 2500, bytesSent: 10_240_000, durationMS: 102.4, dirtyPages: dirty)
    }

    static func decisions(_ dirty: [Int], _ convergence: Convergence) -> [String] {
        var convergence = convergence
        return dirty.map { pages in
            switch convergence.roundFinished(round(dirty: pages)) {
            case .anotherRound: "round"
            case .throttle(let step): "-\(step.percent) %"
            case .freezeNow: "freeze"
            case .switchToHybrid: "hybrid"
            case .stopCopy: "stop"
            case .giveUp: "give up"
            }
        }
    }

    @Test func `the prediction is the larger of dump and pages, and the restore`() {
        let convergence = Self.convergence()
        #expect(convergence.predictedDowntime(dirtyPages: 0) == 36.5)
        // 2441.4 pages are 10 MB: 100 ms at 100 MB/s.
        #expect(abs(convergence.predictedDowntime(dirtyPages: 2441) - 121) < 0.1)
    }

    @Test func `rounds go on while the prediction is above the limit and falls`() {
        let limited = Self.convergence { $0.downtimeLimit = 50 }
        #expect(Self.decisions([20_000, 5000, 1200, 300], limited) == ["round", "round", "round", "freeze"])
    }

    @Test func `without a limit rounds go on until pages cost nothing or stop falling`() {
        #expect(Self.decisions([20_000, 5000, 100], Self.convergence()) == ["round", "round", "freeze"])
        #expect(Self.decisions([20_000, 5000, 5000, 5000], Self.convergence()) == ["round", "round", "round", "freeze"])
    }

    @Test func `one burst does not end the rounds`() {
        let limited = Self.convergence { $0.downtimeLimit = 50 }
        #expect(Self.decisions([5000, 9000, 1000, 100], limited) == ["round", "round", "round", "freeze"])
    }

    @Test(arguments: [
        (Plan.Method.auto, true, false, "hybrid"),
        (.auto, false, false, "stop"),
        (.preCopy, true, false, "stop"),
        (.preCopy, true, true, "give up"),
        (.auto, true, true, "hybrid"),
    ])
    func `what never converges is decided openly`(_ method: Plan.Method, _ later: Bool, _ strict: Bool, _ last: String) {
        let convergence = Self.convergence(method, later: later) {
            $0.downtimeLimit = 50
            $0.limitIsStrict = strict
        }
        #expect(Self.decisions([9000, 9000, 9000], convergence) == ["round", "round", last])
    }

    @Test func `the reason names the figures`() {
        var convergence = Self.convergence(.preCopy) {
            $0.downtimeLimit = 50
            $0.maxRounds = 1
        }
        let reason = convergence.roundFinished(Self.round(dirty: 2441)).reason
        #expect(
            reason
                == "after 1 round, the most allowed, predicted downtime is 121 ms, the limit is 50 ms; the rest is sent frozen")
    }

    @Test(arguments: [
        (true, true, "; the rest is sent frozen"),
        (true, false, "; post-copy is forbidden (--no-post-copy): the rest is sent frozen"),
        (false, true, "; these hosts can't fetch pages later: the rest is sent frozen"),
    ])
    func `a stop-copy says why it is one`(_ later: Bool, _ allowed: Bool, _ end: String) {
        var convergence = Self.convergence(later && allowed ? .preCopy : .auto, later: later) {
            $0.downtimeLimit = 50
            $0.maxRounds = 1
            $0.allowPostCopy = allowed
        }
        let decision = convergence.roundFinished(Self.round(dirty: 9000))
        #expect(decision.reason?.hasSuffix(end) == true, "\(decision)")
        let choice = convergence.choice(decision, dirtyPages: 9000)
        #expect(choice?.how == .stopCopy)
        #expect((choice?.predictedDowntimeMS ?? 0) > 300)
    }

    @Test func `a post-copy of the rest foretells the downtime without the rest`() {
        var convergence = Self.convergence {
            $0.downtimeLimit = 50
            $0.maxRounds = 1
        }
        let choice = convergence.choice(convergence.roundFinished(Self.round(dirty: 9000)), dirtyPages: 9000)
        #expect(choice?.how == .postCopy)
        #expect(choice?.predictedDowntimeMS == 36.5)
        #expect(choice?.dirtyPages == 9000)
    }

    @Test(arguments: [1, 2, 7, 30])
    func `no workload keeps the rounds going beyond the most allowed`(_ most: Int) {
        // Falls by more than a tenth each time, forever above the limit.
        var convergence = Self.convergence(.preCopy) {
            $0.downtimeLimit = 1
            $0.maxRounds = most
        }
        var dirty = 1e12, rounds = 0
        while true {
            rounds += 1
            dirty *= 0.8
            if convergence.roundFinished(Self.round(dirty: Int(dirty))) != .anotherRound { break }
        }
        #expect(rounds == most)
    }

    @Test func `the memory threshold freezes whatever the prediction says`() {
        let convergence = Self.convergence {
            $0.downtimeLimit = 1
            $0.memoryThreshold = .mebibytes(8)
        }
        #expect(Self.decisions([5000, 2048], convergence) == ["round", "freeze"])
    }

    @Test func `a limit below dump and restore is said to be out of reach`() {
        #expect(Self.decisions([10], Self.convergence { $0.downtimeLimit = 10 }) == ["stop"])
        #expect(
            Self.decisions(
                [10],
                Self.convergence {
                    $0.downtimeLimit = 10
                    $0.limitIsStrict = true
                }) == ["give up"])
    }

    @Test func `hybrid needs one round`() {
        #expect(Self.decisions([100_000], Self.convergence(.hybrid)) == ["hybrid"])
    }

    @Test func `the rate is learned from rounds that are large enough, and capped by the bandwidth`() {
        var options = MigrationOptions()
        options.downtimeLimit = 50
        options.maxRounds = 9
        var free = Convergence(options: options, canFetchLater: false, fixed: Self.fixed)
        options.bandwidth = ByteCount(1_000_000)
        var capped = Convergence(options: options, canFetchLater: false, fixed: Self.fixed)
        let fast = RoundReport(pages: 25_000, bytesSent: 102_400_000, durationMS: 100, dirtyPages: 5000)
        #expect(free.roundFinished(fast) == capped.roundFinished(fast) || free.predictedDowntime(dirtyPages: 5000) < 50)
        #expect(capped.predictedDowntime(dirtyPages: 5000) > 20_000)
        var tiny = Convergence(options: options, canFetchLater: false, fixed: Self.fixed)
        _ = tiny.roundFinished(RoundReport(pages: 1, bytesSent: 4096, durationMS: 0.001, dirtyPages: 5000))
        #expect(tiny.predictedDowntime(dirtyPages: 5000) > 20_000)
    }
}
