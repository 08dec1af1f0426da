import Model
import Testing

@testable import Plan

/// The source's machine when the link is lost before the freeze.
@Suite struct ResumeTests {
    private static func machine(after count: Int, retryFor: Int = 60, _ method: Plan.Method = .preCopy) -> SourceMachine {
        var machine = SourceMachine(
            Sample.order(method) {
                $0.downtimeLimit = 100
                $0.retryFor = retryFor
            })
        for (event, _) in SourceMachineTests.happyPath.prefix(count) { _ = machine.handle(event) }
        return machine
    }

    private static func rollsBack(_ actions: [SourceAction]) -> Bool {
        actions.contains { if case .rollBack = $0 { true } else { false } }
    }

    private static let resume = SourceAction.send(.resume(Resumption(number: 1, seed: 0)))

    @Test func `a round that the loss cut short is done again, and the rest goes its way`() {
        var machine = Self.machine(after: 6)
        let lost = machine.handle(.peerLost(Sample.problem))
        #expect(!Self.rollsBack(lost))
        #expect(lost.contains(.hangUp) && lost.contains(.connect) && lost.contains(.startTimer(.reconnect, .seconds(60))))
        #expect(machine.handle(.connectionFailed(Sample.problem)) == [.startTimer(.retry, Patience.retry)])
        #expect(machine.handle(.timer(.retry)) == [.connect])
        #expect(machine.handle(.connected) == [Self.resume])
        // The old round must be through before another one reads and sends.
        #expect(machine.handle(.received(.resumed(1))) == [])
        let going = machine.handle(.cutShort(.round))
        #expect(going.contains(.startRound(0)) && going.contains(.stopTimer(.reconnect)))
        for (event, expected) in SourceMachineTests.happyPath.dropFirst(6) {
            let actions = machine.handle(event)
            for action in expected { #expect(actions.contains(action), "after \(event)") }
        }
        let finished = machine.isFinished
        #expect(finished)
    }

    @Test func `a round that landed before the loss is followed by the next, and companions are asked once`() {
        var machine = Self.machine(after: 7)
        _ = machine.handle(.peerLost(Sample.problem))
        _ = machine.handle(.criuHeld)
        _ = machine.handle(.roundFinished(Sample.report(dirty: 10)))
        _ = machine.handle(.connected)
        _ = machine.handle(.received(.resumed(1)))
        let going = machine.handle(.cutShort(.syncFiles))
        #expect(going.contains(.startRound(2)) && going.contains(.syncFiles) && going.contains(.send(.standBy)))
        #expect(!going.contains(.startCriu))
        _ = machine.handle(.received(.standingBy))
        _ = machine.handle(.filesSynced)
        let over = machine.handle(.roundFinished(Sample.report(dirty: 10)))
        #expect(over.contains(SourceMachineTests.journal(.frozen)))
    }

    @Test func `the files' first pass is done again`() {
        var machine = Self.machine(after: 5)
        let lost = machine.handle(.cutShort(.syncFiles))
        #expect(lost.contains(.hangUp) && lost.contains(.connect))
        _ = machine.handle(.connected)
        let going = machine.handle(.received(.resumed(1)))
        #expect(going.contains(.syncFiles))
        #expect(machine.handle(.filesSynced).contains(.startRound(0)))
    }

    @Test func `a second loss is another one, whose answer is not the first one's`() {
        var machine = Self.machine(after: 6)
        _ = machine.handle(.peerLost(Sample.problem))
        _ = machine.handle(.cutShort(.round))
        _ = machine.handle(.connected)
        _ = machine.handle(.peerLost(Sample.problem))
        #expect(machine.handle(.timer(.retry)) == [.connect])
        #expect(machine.handle(.connected) == [.send(.resume(Resumption(number: 2, seed: 0)))])
        #expect(machine.handle(.received(.resumed(1))) == [])
        let going = machine.handle(.received(.resumed(2)))
        #expect(going.contains(.startRound(0)))
    }

    @Test func `a link that stays away rolls back in words`() {
        var machine = Self.machine(after: 6, retryFor: 7)
        _ = machine.handle(.peerLost(Sample.problem))
        let over = machine.handle(.timer(.reconnect))
        #expect(Self.rollsBack(over))
        _ = machine.handle(.rolledBack)
        let last = machine.handle(.timer(.patience))
        guard case .finish(let ending) = last.last else {
            Issue.record("no end but \(last)")
            return
        }
        #expect(ending.outcome == .rolledBack)
        #expect(ending.problem?.why.contains("7 s") == true)
    }

    @Test(arguments: [PeerMessage.state(.unknown), .aborted(reason: "gone"), .state(.aborted(reason: "gone"))])
    func `a destination that has nothing any more ends it`(_ answer: PeerMessage) {
        var machine = Self.machine(after: 6)
        _ = machine.handle(.peerLost(Sample.problem))
        _ = machine.handle(.connected)
        #expect(Self.rollsBack(machine.handle(.received(answer))))
    }

    @Test func `nothing waits when it was not wished, or once the container is frozen`() {
        var unwished = Self.machine(after: 6, retryFor: 0)
        #expect(Self.rollsBack(unwished.handle(.peerLost(Sample.problem))))
        for count in 11..<SourceMachineTests.decision {
            var machine = Self.machine(after: count)
            #expect(Self.rollsBack(machine.handle(.peerLost(Sample.problem))), "after \(count) events")
        }
    }

    @Test func `what ends a copy ends it while the link is away too`() {
        for event in [SourceEvent.interrupted, .containerExited, .timer(.deadline), .failed(.startCriu, Sample.problem)] {
            var machine = Self.machine(after: 7)
            _ = machine.handle(.peerLost(Sample.problem))
            #expect(Self.rollsBack(machine.handle(event)), "\(event)")
        }
    }
}
