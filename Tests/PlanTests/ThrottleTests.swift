import Model
import Testing

@testable import Plan

@Suite struct ThrottleTests {
    private static func convergence(_ change: (inout MigrationOptions) -> Void = { _ in }) -> Convergence {
        ConvergenceTests.convergence(.preCopy) {
            $0.downtimeLimit = 50
            $0.autoConverge = true
            change(&$0)
        }
    }

    private static func round(dirty: Int, processors: Double? = 1) -> RoundReport {
        RoundReport(pages: 2500, bytesSent: 10_240_000, durationMS: 102.4, dirtyPages: dirty, processors: processors)
    }

    /// What follows each round: the per cent taken, or a word.
    private static func steps(_ dirty: [Int], processors: Double? = 1, _ convergence: Convergence) -> [String] {
        var convergence = convergence
        return dirty.map { pages in
            switch convergence.roundFinished(round(dirty: pages, processors: processors)) {
            case .anotherRound: "round"
            case .throttle(let step): "\(step.percent)"
            case .freezeNow: "freeze"
            case .switchToHybrid: "hybrid"
            case .stopCopy: "stop"
            case .giveUp: "give up"
            }
        }
    }

    @Test func `a workload that never converges is slowed down to a fifth, then the rounds end as without`() {
        let seen = Self.steps(.init(repeating: 9000, count: 11), Self.convergence())
        #expect(seen == ["round", "round", "20", "30", "40", "50", "60", "70", "80", "stop", "stop"])
    }

    @Test func `a step that helps is the last one`() {
        let seen = Self.steps([9000, 9000, 9000, 9000, 3000, 900, 200], Self.convergence())
        #expect(seen == ["round", "round", "20", "30", "round", "round", "freeze"])
    }

    @Test func `rounds that converge by themselves take nothing`() {
        #expect(Self.steps([9000, 3000, 900, 200], Self.convergence()) == ["round", "round", "round", "freeze"])
    }

    @Test func `nothing is taken unasked`() {
        let seen = Self.steps([9000, 9000, 9000], Self.convergence { $0.autoConverge = false })
        #expect(seen == ["round", "round", "stop"])
    }

    @Test func `the most rounds allowed end it in the middle`() {
        let seen = Self.steps([9000, 9000, 9000, 9000], Self.convergence { $0.maxRounds = 4 })
        #expect(seen == ["round", "round", "20", "stop"])
    }

    @Test(arguments: [nil, 0, 0.011])
    func `a workload of which nothing can be taken keeps all`(_ processors: Double?) {
        #expect(Self.steps([9000, 9000, 9000], processors: processors, Self.convergence()) == ["round", "round", "stop"])
    }

    @Test func `shares are of what it used before the first step`() {
        var throttle = Throttle()
        throttle.learn(processors: 3)
        let first = throttle.next(after: 3)
        #expect(first == ThrottleStep(round: 3, percent: 20, quotaUS: 24_000, periodUS: 10_000))
        // What it uses while it is slowed down says nothing of what it would.
        throttle.learn(processors: 2.4)
        let second = throttle.next(after: 4)
        #expect(second?.quotaUS == 21_000)
    }

    @Test func `a quota is never shorter than the kernel takes`() {
        var throttle = Throttle()
        throttle.learn(processors: 0.1)
        let first = throttle.next(after: 3)
        #expect(first?.quotaUS == 1000 && first?.periodUS == 12_500)
    }

    @Test func `the words of the end say what was taken`() {
        var convergence = Self.convergence { $0.limitIsStrict = true }
        var last = ""
        for _ in 0..<10 {
            if let reason = convergence.roundFinished(Self.round(dirty: 9000)).reason { last = reason }
        }
        #expect(last.contains("although 80 % of its processor time was taken"), "\(last)")
    }

    @Test func `a rollback gives the processors back before the thaw, and only what was taken`() {
        var machine = SourceMachine(
            Sample.order(.preCopy) {
                $0.downtimeLimit = 50
                $0.autoConverge = true
            })
        for event: SourceEvent in [
            .started, .connected, .received(.findings(Sample.findings)), .journalWritten(.opened),
            .received(.prepared(Prepared(rootfs: "/", takesAddresses: true))), .filesSynced,
        ] { _ = machine.handle(event) }
        var actions: [SourceAction] = []
        for _ in 0..<2 { actions += machine.handle(.roundFinished(Self.round(dirty: 90_000))) }
        #expect(!actions.contains { if case .throttle = $0 { true } else { false } })
        actions = machine.handle(.roundFinished(Self.round(dirty: 90_000)))
        #expect(actions.first == .throttle(ThrottleStep(round: 3, percent: 20, quotaUS: 8000, periodUS: 10_000)))
        #expect(actions.contains(.startRound(3)))
        let undo = machine.handle(.interrupted)
        #expect(undo.contains(.rollBack([.abandonCriu, .giveProcessorsBack, .stopTracking])), "\(undo)")
    }
}
