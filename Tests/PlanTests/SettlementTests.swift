import Model
import Testing

@testable import Plan

@Suite struct SettlementTests {
    typealias Kind = JournalRecord.Kind

    static let source: [([Kind], String)] = [
        ([], "nothing"), ([.opened], "rollBack"), ([.opened, .frozen], "rollBack"),
        ([.opened, .frozen, .aborted], "rollBack"), ([.opened, .frozen, .decided], "askDestination"),
        ([.opened, .frozen, .decided, .running], "finishCommit"), ([.opened, .frozen, .decided, .revoked], "rollBack"),
        ([.opened, .frozen, .decided, .running, .done], "nothing"),
    ]

    static let destination: [([Kind], Liveness, String)] = [
        ([], .gone, "nothing"), ([.opened], .gone, "discard"), ([.opened], .frozen, "discard"),
        ([.opened, .ready], .frozen, "waitForVerdict"), ([.opened, .ready], .gone, "discard"),
        ([.opened, .ready, .released], .frozen, "run"), ([.opened, .ready, .released], .running, "run"),
        ([.opened, .ready, .released], .gone, "lost"), ([.opened, .ready, .released, .running], .gone, "lost"),
        ([.opened, .ready, .released, .aborted], .gone, "discard"), ([.opened, .ready, .aborted], .gone, "discard"),
        ([.opened, .ready, .released, .running, .done], .running, "nothing"),
    ]

    static func name(_ settlement: Settlement) -> String { String("\(settlement)".prefix { $0 != "(" }) }

    @Test(arguments: source)
    func `the source settles by its journal`(_ kinds: [Kind], _ expected: String) {
        for container in Liveness.allCases {
            let found = Settlement.of(.source, records: kinds.map { Sample.record($0, .source) }, container: container)
            #expect(Self.name(found) == expected)
            #expect(!found.advice.isEmpty)
        }
    }

    @Test(arguments: destination)
    func `the destination settles by its journal and what lives`(_ kinds: [Kind], _ container: Liveness, _ expected: String) {
        let found = Settlement.of(.destination, records: kinds.map { Sample.record($0, .destination) }, container: container)
        #expect(Self.name(found) == expected)
        #expect(!found.advice.isEmpty)
    }

    @Test func `only a forgotten or lost copy needs a person`() {
        #expect(Settlement.afterAnswer(.unknown) == .person(.destinationForgot))
        #expect(Settlement.afterAnswer(.lost) == .person(.destinationLost))
        #expect(Settlement.afterAnswer(.filled) == .finishCommit)
        #expect(Settlement.afterAnswer(.ready) == .askDestination)
        #expect(Self.name(Settlement.afterAnswer(.aborted(reason: "x"))) == "rollBack")
    }

    @Test(arguments: [Doubt.sourceUnreachable, .destinationUnreachable, .destinationForgot, .destinationLost])
    func `a doubt says what running here would mean`(_ doubt: Doubt) {
        #expect(doubt.explanation.contains("martlet recover --run-here"))
    }

    @Test func `a recovered source does nothing when all is done`() {
        var machine = SourceMachine(
            recovering: [.opened, .decided, .running, .done].map { Sample.record($0, .source) }, container: .gone)!
        let answer1 = machine.handle(.started)
        #expect(answer1.contains(.finish(Ending(.migrated))))
    }

    @Test func `a journal without an opening touches nothing`() {
        let hasMachine = SourceMachine(recovering: [], container: .running) != nil
        #expect(!hasMachine)
    }
}
