import Model
@testable import Plan

/// Walks through worlds and remembers how it came to each.
struct Explorer {
    /// A rule that was broken, with the way there.
    struct Violation: Error, CustomStringConvertible {
        var rule: String
        var start: World
        var way: [Step]
        var world: World

        /// The way told step by step.
        private var story: String {
            var at = start
            return way.map { step in
                let line = "  " + at.words(step)
                at = at.after(step)
                return line
            }.joined(separator: "\n")
        }

        var description: String {
            """
            \(rule)
            \(story)
            source: \(world.source.tasks), journal \(world.source.journal.map(\.rawValue)), \(String(describing: world.source.state?.stage))
            destination: \(world.destination.tasks), journal \(world.destination.journal.map(\.rawValue)), \(String(describing: world.destination.state?.stage))
            """
        }
    }

    private struct Came {
        var from: Int
        var by: Step?
    }
    private var came: [Int: Came] = [:]
    /// Worlds from which settling is known to end well.
    private var settled: Set<Int> = []
    /// Number of different worlds seen.
    var count: Int { came.count }
    /// How the settled worlds ended.
    private(set) var endings: Set<Ended> = []

    enum Ended: Hashable { case runsAtSource, runsAtDestination, ranNowhere, inDoubt }

    private var origin: World?

    init() {}

    /// Visits every world that can be reached from `start`, and settles each one.
    mutating func explore(_ start: World, containerMayExit: Bool = false) throws {
        var frontier = [start]
        origin = start
        came[start.hashValue] = Came(from: 0, by: nil)
        var next = 0
        // Breadth first: the way to a violation is a shortest one.
        while next < frontier.count {
            let world = frontier[next]
            next += 1
            if next == 4096 {
                frontier.removeFirst(next)
                next = 0
            }
            try settle(world)
            let here = world.hashValue
            for step in world.steps(containerMayExit: containerMayExit) {
                let reached = world.after(step)
                let name = reached.hashValue
                guard came[name] == nil else { continue }
                came[name] = Came(from: here, by: step)
                if let rule = reached.broken { throw Violation(rule: rule, start: start, way: way(to: name), world: reached) }
                frontier.append(reached)
            }
        }
    }

    /// One walk of at most `length` steps chosen by `generator`.
    mutating func walk(_ start: World, length: Int, using generator: inout some RandomNumberGenerator) throws {
        var world = start
        var way: [Step] = []
        for _ in 0..<length {
            guard let step = world.steps().randomElement(using: &generator) else { break }
            way.append(step)
            world = world.after(step)
            if let rule = world.broken { throw Violation(rule: rule, start: start, way: way, world: world) }
        }
        origin = start
        try settle(world, way: way)
    }

    private func way(to name: Int) -> [Step] {
        var way: [Step] = []
        var at = name
        while let came = came[at], let step = came.by {
            way.append(step)
            at = came.from
        }
        return way.reversed()
    }

    /// No more faults, both hosts up and reachable, time passes: this must end, and well.
    mutating func settle(_ start: World, way given: [Step]? = nil) throws {
        var world = start
        world.faultsLeft = 0
        var passed: Set<Int> = []
        var taken: [Step] = []
        func violation(_ rule: String, _ explorer: Explorer) -> Violation {
            Violation(
                rule: rule, start: origin ?? start, way: (given ?? explorer.way(to: start.hashValue)) + taken, world: world)
        }
        while true {
            let name = world.hashValue
            if settled.contains(name) { break }
            // Going round in a circle: only what waits for long can help. Without that it is the end, as when `recover`
            // changes nothing and a person must choose.
            let again = !passed.insert(name).inserted
            guard let step = again ? Self.patient(world) : Self.likely(world) else {
                endings.insert(try ended(world, violation("", self)))
                break
            }
            taken.append(step)
            if taken.count > 400 { throw violation("it never settles", self) }
            world = world.after(step)
            if let rule = world.broken { throw violation(rule, self) }
        }
        settled.formUnion(passed)
    }

    /// The next step of a world in which nothing goes wrong: work first, then what waiting brings.
    private static func likely(_ world: World) -> Step? {
        let steps = world.ordinarySteps()
        func isTimer(_ step: Step) -> Bool {
            switch step {
            case .sourceTimer, .destinationTimer: true
            default: false
            }
        }
        if let work = steps.first(where: { !isTimer($0) }) { return work }
        return steps.first ?? patient(world)
    }

    private static func patient(_ world: World) -> Step? {
        [SourceTimer.answer, .frozen, .patience, .deadline, .reconnect].first(where: world.source.timers.contains).map(
            Step.sourceTimer)
    }

    private func ended(_ world: World, _ violation: Violation) throws -> Ended {
        func broken(_ rule: String) -> Violation {
            Violation(rule: rule, start: violation.start, way: violation.way, world: world)
        }
        if world.source.isOpen || world.destination.isOpen {
            // A journal stays open only where a held copy died between the release's record and the thaw, and the process
            // that knew it died too: then the destination can't swear that it never ran.
            guard world.copyDied, world.destination.tasks == .none, world.destination.journal.contains(.released) else {
                throw broken("settled, but a journal is open")
            }
            switch world.source.tasks {
            case .frozen where world.source.journal.contains(.decided): return .inDoubt
            case .running where !world.networkCut: return .runsAtSource
            default: throw broken("in doubt, and the source's copy is neither kept nor running")
            }
        }
        switch (world.source.tasks, world.destination.tasks) {
        case (.running, .none):
            if world.networkCut { throw broken("the source runs without network") }
            return .runsAtSource
        case (.none, .running): return .runsAtDestination
        case (.none, .none) where world.exited: return .ranNowhere
        default: throw broken("settled, but not exactly one runs")
        }
    }
}
