import Model
import Testing

@testable import Plan

/// The source's machine by itself, event by event.
@Suite struct SourceMachineTests {
    /// The events of a migration without trouble, with the phase entered and what else has to follow from each.
    static let happyPath: [(event: SourceEvent, actions: [SourceAction])] = [
        (.started, [.enter(.check), .connect]),
        (.connected, [.startTimer(.answer, Patience.answer)]),
        (.received(.findings(Sample.findings)), [journal(.opened)]),
        (.journalWritten(.opened), [.enter(.prepare)]),
        (.received(.prepared(Prepared(rootfs: "/r", takesAddresses: true))), [.stopTimer(.answer), .syncFiles]),
        (.filesSynced, [.enter(.copy(round: 0)), .startRound(0)]),
        (
            .roundFinished(Sample.report(dirty: 100_000)),
            [.enter(.copy(round: 1)), .startRound(1), .startCriu, .send(.standBy), .syncFiles]
        ),
        (.criuHeld, []),
        (.filesSynced, []),
        (.received(.standingBy), [.stopTimer(.answer)]),
        (.roundFinished(Sample.report(dirty: 10)), [journal(.frozen)]),
        (.journalWritten(.frozen), [.enter(.cut), .cutNetwork]),
        (.networkCut, [.enter(.freeze), .freeze, .send(.cut)]),
        (.frozen, [.enter(.capture), .releaseCriu, .sendFinalPages(.everything), .syncFiles]),
        (.finalPagesSent, []),
        (.dumped, [.enter(.ship), .refreeze, .shipImages]),
        (.refrozen, []),
        (.filesSynced, []),
        (.imagesShipped(Sample.shipped), [.send(.shipped(Sample.shipped)), .enter(.restore)]),
        (.received(.ready), [journal(.decided), .enter(.decide), .stopTimer(.frozen)]),
        (.journalWritten(.decided), [.enter(.release), .send(.release)]),
        (.received(.running(Sample.running)), [.enter(.fill), journal(.running)]),
        (.journalWritten(.running), []),
        (.received(.filled), [.enter(.clean), .killSource]),
        (.sourceKilled, [.clean(keepContainer: false)]),
        (.cleaned, [.send(.bye), journal(.done)]),
        (.journalWritten(.done), [.finish(Ending(.migrated))]),
    ]

    static func journal(_ kind: JournalRecord.Kind) -> SourceAction {
        .journal(
            JournalRecord(
                kind, migration: Sample.id, role: .source, container: "redis", peer: "beta",
                recovery: kind == .opened ? Sample.recovery : nil, pagesStayBehind: kind == .decided ? false : nil))
    }

    static func machine(after count: Int) -> SourceMachine {
        var machine = SourceMachine(Sample.order { $0.downtimeLimit = 100 })
        for (event, _) in happyPath.prefix(count) { _ = machine.handle(event) }
        return machine
    }

    @Test func `a migration without trouble goes through every phase in order`() {
        var machine = SourceMachine(Sample.order { $0.downtimeLimit = 100 })
        var phases: [String] = []
        for (event, expected) in Self.happyPath {
            let actions = machine.handle(event)
            for action in expected { #expect(actions.contains(action), "after \(event)") }
            for case .enter(let phase) in actions { phases.append(phase.label) }
        }
        let finished = machine.isFinished
        #expect(finished)
        #expect(
            phases == [
                "check", "prepare", "copy 0", "copy 1", "cut", "freeze", "capture", "ship", "restore", "decide", "release",
                "fill", "clean",
            ])
    }

    /// Index of the first step at which the decision may be on disk.
    static let decision = happyPath.firstIndex { $0.event == .received(.ready) }! + 1

    @Test(arguments: 3..<decision)
    func `control-C before the decision rolls back`(_ count: Int) {
        var machine = Self.machine(after: count)
        let actions = machine.handle(.interrupted)
        #expect(actions.contains { if case .rollBack = $0 { true } else { false } })
        #expect(actions.contains(.send(.abort(reason: "interrupted"))))
        _ = machine.handle(.received(.aborted(reason: "interrupted")))
        _ = machine.handle(.rolledBack)
        let last = machine.handle(.journalWritten(.done))
        guard case .finish(let ending) = last.last else {
            Issue.record("no end but \(last)")
            return
        }
        #expect(ending.outcome == .rolledBack)
        #expect(ending.exitCode == .interrupted)
        #expect(!ending.needsRecover)
    }

    @Test(arguments: 1..<3)
    func `control-C before anything was touched ends at once`(_ count: Int) {
        var machine = Self.machine(after: count)
        let actions = machine.handle(.interrupted)
        guard case .finish(let ending) = actions.last else {
            Issue.record("no end but \(actions)")
            return
        }
        #expect(ending.exitCode == .interrupted)
    }

    @Test(arguments: decision..<(happyPath.count - 1))
    func `control-C after the decision comes too late`(_ count: Int) {
        var machine = Self.machine(after: count)
        for action in machine.handle(.interrupted) {
            guard case .note = action else {
                Issue.record("\(action)")
                continue
            }
        }
        for (event, _) in Self.happyPath.dropFirst(count) { _ = machine.handle(event) }
        let finished = machine.isFinished
        #expect(finished)
    }

    @Test(arguments: 0..<happyPath.count)
    func `hearing or learning a thing twice changes nothing`(_ count: Int) {
        // Rounds and file syncs carry no number: their doers report each once.
        let event = Self.happyPath[count].event
        switch event {
        case .roundFinished, .filesSynced, .started: return
        default: break
        }
        var once = Self.machine(after: count + 1)
        let before = once.state
        let again = once.handle(event)
        if event == .connected || event == .dumped { return }
        let after = once.state
        #expect(after == before, "after \(event) twice")
        for action in again {
            switch action {
            case .send, .note, .startTimer, .stopTimer: continue
            default: Issue.record("\(event) twice led to \(action)")
            }
        }
    }

    /// What the workload dirties while the destination gets ready must not be sent frozen.
    @Test func `rounds that end before the companions stand by are followed by one more`() {
        var machine = Self.machine(after: 6)
        let early = machine.handle(.roundFinished(Sample.report(dirty: 10)))
        #expect(early == [.startCriu, .send(.standBy), .startTimer(.answer, Patience.answer), .syncFiles])
        #expect(machine.handle(.criuHeld) == [])
        #expect(machine.handle(.filesSynced) == [])
        let all = machine.handle(.received(.standingBy))
        #expect(all == [.stopTimer(.answer), .enter(.copy(round: 1)), .startRound(1)])
        let last = machine.handle(.roundFinished(Sample.report(dirty: 10)))
        #expect(last.contains(Self.journal(.frozen)))
        guard case .announce(let decision) = last.first else {
            Issue.record("nothing was announced: \(last)")
            return
        }
        #expect(decision.how == .preCopy)
    }

    @Test func `the only round that is allowed is not followed by another`() {
        var machine = SourceMachine(Sample.order { $0.maxRounds = 1 })
        var begin: [SourceAction] = []
        for (event, _) in Self.happyPath.prefix(6) { begin = machine.handle(event) }
        #expect(begin.contains(.startRound(0)))
        #expect(begin.contains(.startCriu))
        let end = machine.handle(.roundFinished(Sample.report(dirty: 100_000)))
        #expect(end.contains(Self.journal(.frozen)))
        #expect(!end.contains { if case .startRound = $0 { true } else { false } })
    }

    @Test func `a blocker on either side refuses before anything is touched`() {
        var machine = Self.machine(after: 2)
        let actions = machine.handle(.received(.findings(Findings(destination: Sample.host, findings: [Sample.blocker]))))
        guard case .finish(let ending) = actions.last else {
            Issue.record("no end but \(actions)")
            return
        }
        #expect(ending.exitCode == .refused)
        #expect(ending.findings == [Sample.blocker])
        #expect(!actions.contains { if case .journal = $0 { true } else { false } })
    }

    @Test func `an unreachable destination is refused`() {
        var machine = Self.machine(after: 1)
        let actions = machine.handle(.connectionFailed(Sample.problem))
        #expect(actions.contains { if case .finish(let ending) = $0 { ending.exitCode == .refused } else { false } })
    }

    @Test func `a dry run ends after the check`() {
        var machine = SourceMachine(Sample.order { $0.dryRun = true })
        for (event, _) in Self.happyPath.prefix(2) { _ = machine.handle(event) }
        let actions = machine.handle(.received(.findings(Sample.findings)))
        #expect(actions.contains(.finish(Ending(.checked))))
    }

    @Test func `stop-copy makes no round`() {
        var machine = SourceMachine(Sample.order(.stopCopy))
        for (event, _) in Self.happyPath.prefix(5) { _ = machine.handle(event) }
        let actions = machine.handle(.filesSynced)
        #expect(actions.contains(.startCriu))
        #expect(actions.contains(Self.journal(.frozen)))
        #expect(!actions.contains(.startRound(0)))
    }

    @Test func `a rollback undoes only what was touched, in order`() {
        var early = Self.machine(after: 6)
        let answer1 = early.handle(.interrupted)
        #expect(answer1.contains(.rollBack([.stopTracking])))
        var late = Self.machine(after: 19)
        let answer2 = late.handle(.peerLost(Sample.problem))
        #expect(answer2.contains(.rollBack([.abandonCriu, .thaw, .restoreNetwork, .stopTracking])))
    }

    @Test func `a source that cannot tell the destination ends and says so`() {
        var machine = Self.machine(after: 19)
        _ = machine.handle(.peerLost(Sample.problem))
        let answer3 = machine.handle(.rolledBack)
        #expect(answer3.contains(.connect))
        _ = machine.handle(.connectionFailed(Sample.problem))
        let actions = machine.handle(.timer(.patience))
        #expect(
            actions.contains {
                if case .finish(let ending) = $0 { ending.needsRecover && ending.exitCode == .rolledBack } else { false }
            })
    }

    @Test func `a decided source never thaws while it hears nothing`() {
        var machine = Self.machine(after: Self.decision + 1)
        var all: [SourceAction] = []
        all += machine.handle(.peerLost(Sample.problem))
        for _ in 0..<5 {
            all += machine.handle(.timer(.retry))
            all += machine.handle(.connectionFailed(Sample.problem))
        }
        all += machine.handle(.timer(.patience))
        #expect(!all.contains { if case .rollBack = $0 { true } else { false } })
        #expect(
            all.contains { if case .finish(let ending) = $0 { ending.needsRecover && ending.exitCode == .failed } else { false } }
        )
    }

    @Test func `a decided source thaws when the destination durably aborted`() {
        var machine = Self.machine(after: Self.decision + 1)
        let answer4 = machine.handle(.received(.aborted(reason: "criu died")))
        #expect(answer4.contains { if case .journal(let record) = $0 { record.kind == .revoked } else { false } })
        let answer5 = machine.handle(.journalWritten(.revoked))
        #expect(answer5.contains { if case .rollBack(let steps) = $0 { steps.contains(.thaw) } else { false } })
    }

    @Test func `a decision whose write failed is not rolled back until the destination aborted`() {
        var machine = Self.machine(after: Self.decision)
        let actions = machine.handle(.failed(.journal(.decided), Sample.problem))
        #expect(!actions.contains { if case .rollBack = $0 { true } else { false } })
        #expect(actions.contains(.send(.abort(reason: Sample.problem.why))))
    }

    @Test func `in post-copy nothing is copied before the freeze, and only a list in it`() {
        var machine = SourceMachine(Sample.order(.postCopy))
        for (event, _) in Self.happyPath.prefix(5) { _ = machine.handle(event) }
        let answer = machine.handle(.filesSynced)
        #expect(answer.contains(.startCriu))
        #expect(answer.contains { if case .announce(let decision) = $0 { decision.how == .postCopy } else { false } })
        #expect(!answer.contains { if case .startRound = $0 { true } else { false } })
        for event in [.criuHeld, .received(.standingBy), .journalWritten(.frozen), .networkCut] as [SourceEvent] {
            _ = machine.handle(event)
        }
        let frozen = machine.handle(.frozen)
        #expect(frozen.contains(.sendFinalPages(.listOnly)))
    }

    @Test func `in hybrid the source serves pages before it says release, and keeps its copy until filled`() {
        var machine = SourceMachine(Sample.order(.hybrid))
        for (event, _) in Self.happyPath.prefix(6) { _ = machine.handle(event) }
        let behind = SourceEvent.roundFinished(Sample.report(dirty: 1_000_000))
        for event in [
            behind, .criuHeld, .filesSynced, .received(.standingBy), behind, .journalWritten(.frozen), .networkCut,
        ] {
            _ = machine.handle(event)
        }
        let answer6 = machine.handle(.frozen)
        #expect(answer6.contains(.sendFinalPages(.listOnly)))
        for event in [
            SourceEvent.dumped, .refrozen, .finalPagesSent, .filesSynced, .imagesShipped(Sample.shipped), .received(.ready),
        ] {
            _ = machine.handle(event)
        }
        let answer7 = machine.handle(.journalWritten(.decided))
        #expect(answer7.contains(.serveMissing))
        _ = machine.handle(.received(.running(Sample.running)))
        let answer8 = machine.handle(.timer(.patience))
        #expect(!answer8.contains(.killSource))
    }
}
