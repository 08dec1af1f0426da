import Model
import Testing

@testable import Plan

/// The destination's machine by itself, event by event.
@Suite struct DestinationMachineTests {
    static let offer = Offer(
        migration: Sample.id, container: Sample.order().container, source: Sample.host, options: MigrationOptions(),
        findings: [])
    static let prepare = PrepareOrder(compression: .auto, tcpEstablished: true, streams: 2, ways: Sample.ways)
    static let prepared = Prepared(rootfs: "/r", takesAddresses: true)

    static let happyPath: [(event: DestinationEvent, actions: [DestinationAction])] = [
        (.connected, []),
        (.received(.offer(offer)), [.check(offer)]),
        (.checked(Sample.findings, Sample.recovery), [.send(.findings(Sample.findings))]),
        (.received(.prepare(prepare)), [journal(.opened)]),
        (.journalWritten(.opened), [.prepare(prepare)]),
        (.prepared(prepared), [.send(.prepared(prepared))]),
        (.received(.standBy), [.startRestore]),
        (.restoreHeld, [.send(.standingBy)]),
        (.received(.cut), [.takeAddress]),
        (.received(.shipped(Sample.shipped)), [.releaseRestore(Sample.shipped)]),
        (.restored, [journal(.ready)]),
        (.journalWritten(.ready), [.send(.ready)]),
        (.received(.release), [journal(.released)]),
        (.journalWritten(.released), [.thaw]),
        (.thawed(Sample.running), [.send(.running(Sample.running)), journal(.running), .startFill]),
        (.filled, [.send(.filled), .clean]),
        (.cleaned, [journal(.done)]),
        (.received(.bye), [.finish(Ending(.migrated))]),
    ]

    static func journal(_ kind: JournalRecord.Kind) -> DestinationAction {
        .journal(
            JournalRecord(
                kind, migration: Sample.id, role: .destination, container: "redis", peer: "alpha",
                recovery: kind == .opened ? Sample.recovery : nil))
    }

    static func machine(after count: Int) -> DestinationMachine {
        var machine = DestinationMachine(migration: Sample.id, peer: "alpha")
        for (event, _) in happyPath.prefix(count) { _ = machine.handle(event) }
        return machine
    }

    @Test func `a migration without trouble ends with a running container`() {
        var machine = DestinationMachine(migration: Sample.id, peer: "alpha")
        for (event, expected) in Self.happyPath {
            let actions = machine.handle(event)
            for action in expected { #expect(actions.contains(action), "after \(event)") }
        }
        let finished = machine.isFinished
        #expect(finished)
    }

    @Test(arguments: [DestinationEvent.received(.bye), .peerLost(Sample.problem)])
    func `a session whose source goes while it clears up says done before it ends`(_ end: DestinationEvent) {
        var machine = Self.machine(after: 16)
        #expect(machine.handle(end) == [])
        let actions = machine.handle(.cleaned)
        #expect(actions.contains(Self.journal(.done)) && actions.last == .finish(Ending(.migrated)))
    }

    /// Indices into the happy path: after `prepared` and before the source's container is frozen.
    static let copying = 6...8

    @Test(arguments: copying)
    func `what came is kept for a while when the source is lost in the copy, and the source may go on`(_ count: Int) {
        var machine = Self.machine(after: count)
        let lost = machine.handle(.peerLost(Sample.problem))
        #expect(lost.contains(.startTimer(.returning, .seconds(90))) && !lost.contains(.discard))
        #expect(machine.handle(.connected) == [])
        let resumption = Resumption(number: 3, seed: 7)
        #expect(machine.handle(.received(.resume(resumption))) == [.resume(resumption)])
        // The end of an earlier connection, told late.
        _ = machine.handle(.peerLost(Sample.problem))
        #expect(machine.handle(.resumed(3)) == [.stopTimer(.returning), .send(.resumed(3))])
        for (event, expected) in Self.happyPath.dropFirst(count) {
            let actions = machine.handle(event)
            for action in expected { #expect(actions.contains(action), "after \(event)") }
        }
        let finished = machine.isFinished
        #expect(finished)
    }

    @Test(arguments: copying)
    func `a source that does not come back is given up`(_ count: Int) {
        var machine = Self.machine(after: count)
        _ = machine.handle(.peerLost(Sample.problem))
        let actions = machine.handle(.timer(.returning))
        #expect(actions.contains(.discard))
    }

    @Test func `a session that knows nothing of a copy says so to who wants to go on with it`() {
        var machine = DestinationMachine(migration: Sample.id, peer: "alpha")
        _ = machine.handle(.connected)
        #expect(machine.handle(.received(.resume(Resumption(number: 1)))) == [.send(.state(.unknown))])
    }

    @Test(arguments: [4, 5, 9, 10, 11])
    func `before ready was said a lost source means discard`(_ count: Int) {
        var machine = Self.machine(after: count)
        let answer1 = machine.handle(.peerLost(Sample.problem))
        #expect(answer1.contains(.discard))
    }

    @Test func `a ready destination that hears nothing only asks again`() {
        var machine = Self.machine(after: 12)
        for event in [DestinationEvent.peerLost(Sample.problem), .timer(.verdict), .interrupted, .connected, .timer(.verdict)] {
            for action in machine.handle(event) {
                switch action {
                case .send(.ready), .note, .startTimer: continue
                default: Issue.record("\(event) led to \(action)")
                }
            }
        }
        let standing = machine.standing
        #expect(standing == .ready)
    }

    @Test func `aborted is said only after the copy is dead and the record is on disk`() {
        var machine = Self.machine(after: 12)
        let said = DestinationAction.send(.aborted(reason: "no"))
        let answer2 = machine.handle(.received(.abort(reason: "no")))
        #expect(!answer2.contains(said))
        let answer3 = machine.handle(.discarded)
        #expect(!answer3.contains(said))
        let answer4 = machine.handle(.journalWritten(.aborted))
        #expect(answer4.contains(said))
        let answer5 = machine.handle(.received(.release))
        #expect(answer5.contains(said))
    }

    @Test(arguments: 13...17)
    func `after released an abort comes too late`(_ count: Int) {
        var machine = Self.machine(after: count)
        let answer6 = machine.handle(.received(.abort(reason: "no")))
        #expect(!answer6.contains(.discard))
    }

    @Test func `an offer of another protocol version is a blocker`() {
        var machine = DestinationMachine(migration: Sample.id, peer: "alpha")
        var offer = Self.offer
        offer.version = 99
        _ = machine.handle(.received(.offer(offer)))
        let actions = machine.handle(.checked(Sample.findings, Sample.recovery))
        #expect(
            actions.contains {
                if case .send(.findings(let answer)) = $0 {
                    answer.findings.contains { $0.code == "protocol-version" }
                } else {
                    false
                }
            })
    }

    @Test func `a session without a journal answers that it knows nothing`() {
        var machine = DestinationMachine(migration: Sample.id, peer: "alpha")
        let answer7 = machine.handle(.received(.inquire))
        #expect(answer7 == [.send(.state(.unknown))])
        let answer8 = machine.handle(.received(.release))
        #expect(answer8 == [.send(.state(.unknown))])
    }

    @Test func `only a person lets a copy in doubt run`() {
        var machine = DestinationMachine(
            recovering: [.opened, .ready].map { Sample.record($0, .destination) }, container: .frozen)!
        let answer9 = machine.handle(.started)
        #expect(!answer9.contains(.thaw))
        _ = machine.handle(.runHere)
        let answer10 = machine.handle(.journalWritten(.released))
        #expect(answer10 == [.thaw])
    }

    @Test func `a session that took over settles before it listens to anybody`() {
        var machine = DestinationMachine(recovering: [Sample.record(.opened, .destination)], container: .gone)!
        let first = machine.handle(.received(.abort(reason: "it went away")))
        #expect(first.contains(.discard))
        _ = machine.handle(.started)
        let second = machine.handle(.discarded)
        #expect(second.contains { if case .journal(let record) = $0 { record.kind == .aborted } else { false } })
    }

    private static func thawing() -> DestinationMachine {
        var machine = DestinationMachine(
            recovering: [.opened, .ready].map { Sample.record($0, .destination) }, container: .frozen)!
        for event in [DestinationEvent.started, .received(.release), .journalWritten(.released)] { _ = machine.handle(event) }
        return machine
    }

    @Test func `a thaw that fails is tried again and never given up`() {
        var machine = Self.thawing()
        let failed = machine.handle(.failed(.thaw, Sample.problem))
        #expect(failed.contains { if case .startTimer(.again, _) = $0 { true } else { false } })
        #expect(!failed.contains { if case .finish = $0 { true } else { false } })
        let again = machine.handle(.timer(.again))
        #expect(again == [.thaw])
    }

    @Test func `a copy that died before anybody let it go is discarded although it was released`() {
        var machine = Self.thawing()
        let actions = machine.handle(.heldCopyDied)
        #expect(actions.contains(.discard))
    }

    @Test func `a copy that died when it was let go is lost`() {
        var machine = Self.thawing()
        let actions = machine.handle(.containerExited)
        #expect(!actions.contains(.discard))
    }
}
