import Testing

@testable import Plan

/// The heart: two real machines on two modelled hosts, through every order of events and every fault.
@Suite struct ModelCheckTests {
    @Test(arguments: [Plan.Method.stopCopy, .preCopy, .hybrid])
    func `without faults every order of events ends at the destination`(_ method: Plan.Method) throws {
        var explorer = Explorer()
        try explorer.explore(World(method, faults: 0))
        #expect(explorer.endings == [.runsAtDestination])
        print("\(method): \(explorer.count) worlds")
    }

    @Test(arguments: [Plan.Method.stopCopy, .preCopy, .hybrid])
    func `after any one fault exactly one runs`(_ method: Plan.Method) throws {
        var explorer = Explorer()
        try explorer.explore(World(method, faults: 1))
        #expect(explorer.endings.isSuperset(of: [.runsAtSource, .runsAtDestination]))
        print("\(method): \(explorer.count) worlds")
    }
}
