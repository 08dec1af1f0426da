import Model
import Testing

@testable import Plan

/// The heart: two real machines on two modelled hosts, through every order of events and every fault.
///
/// Each test visits all worlds that can be reached, asks in each one that the rules of `World.check` hold, and then
/// lets it settle: no more faults, both hosts reachable. It must end with exactly one running container.
@Suite struct ModelCheckTests {
    static let methods: [Plan.Method] = [.stopCopy, .pageServer, .preCopy, .preCopyPageServer, .hybrid, .postCopy]

    @Test(arguments: methods)
    func `without faults every order of events ends at the destination`(_ method: Plan.Method) throws {
        var explorer = Explorer()
        try explorer.explore(World(method, faults: 0, grain: .fine))
        #expect(explorer.endings == [.runsAtDestination])
        #expect(explorer.count > 5000)
    }

    @Test(arguments: methods)
    func `after any two faults exactly one runs`(_ method: Plan.Method) throws {
        var explorer = Explorer()
        try explorer.explore(World(method, faults: 2, grain: .coarse))
        #expect(explorer.endings.isSuperset(of: [.runsAtSource, .runsAtDestination]))
        #expect(explorer.count > 50_000)
    }

    @Test(.tags(.slow))
    func `after any three faults exactly one runs`() throws {
        var explorer = Explorer()
        try explorer.explore(World(.preCopy, faults: 3, grain: .coarse))
        #expect(explorer.endings == [.runsAtSource, .runsAtDestination, .inDoubt])
        #expect(explorer.count > 500_000)
    }

    @Test(.tags(.slow))
    func `after any one fault in any order of events exactly one runs`() throws {
        var explorer = Explorer()
        try explorer.explore(World(.hybrid, faults: 1, grain: .fine, waits: false))
        #expect(explorer.endings.isSuperset(of: [.runsAtSource, .runsAtDestination]))
        #expect(explorer.count > 200_000)
    }

    @Test(arguments: methods)
    func `a container that ends by itself ends nowhere twice`(_ method: Plan.Method) throws {
        var explorer = Explorer()
        try explorer.explore(World(method, faults: 1, grain: .coarse), containerMayExit: true)
        #expect(explorer.endings.isSuperset(of: [.runsAtSource, .runsAtDestination, .ranNowhere]))
    }

    @Test(arguments: methods)
    func `random walks through a dozen faults end with exactly one`(_ method: Plan.Method) throws {
        var generator = SplitMix(seed: 2026)
        var explorer = Explorer()
        for round in 0..<3000 {
            let world = World(method, faults: round % 13, grain: round % 2 == 0 ? .fine : .coarse)
            try explorer.walk(world, length: 20 + round % 200, using: &generator)
        }
        #expect(explorer.endings.isSuperset(of: [.runsAtSource, .runsAtDestination]))
    }

    /// A model that can't fail proves nothing: each rule must be seen to break when a machine is made careless.
    @Test func `the model notices a destination that runs without a decision`() throws {
        var world = World(.preCopy, faults: 0, grain: .coarse)
        while world.destination.journal.contains(.ready) == false { world = world.after(world.ordinarySteps()[0]) }
        world.tellDestination(.received(.release))
        while world.broken == nil,
            let step = world.ordinarySteps().first(where: { if case .perform(.destination, _) = $0 { true } else { false } })
        {
            world = world.after(step)
        }
        #expect(world.broken == "the destination runs without a decision")
    }
}

/// Small, fast, and the same everywhere: so that a failing walk can be walked again.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
