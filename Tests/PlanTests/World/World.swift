import Model
@testable import Plan

/// Two hosts and the network between them, small enough to try every order of events.
///
/// The machines are the real ones; the hosts are models of what the doers do. A `World` is a value: a step makes
/// another one. What a host is doing may end at any time, in any order, and fail; processes may crash before, after
/// and in the middle of it; messages may be lost, doubled and overtaken; connections may break. Each such fault is
/// taken from a budget, so that the number of worlds is finite.
struct World: Hashable, Sendable {
    /// The container's tasks on one host.
    enum Tasks: Hashable, Sendable {
        case none
        case running
        /// Stopped by the cgroup: source from the freeze, destination while held.
        case frozen
        /// Stopped by CRIU alone, which has thawed the cgroup: CRIU's end lets them run.
        case traced
    }

    struct Node<Action: Hashable & Sendable, Event: Hashable & Sendable, Timer: Hashable & Sendable, State: Hashable & Sendable>:
        Hashable, Sendable
    {
        /// Nil: no process.
        var state: State?
        /// The journal that the process began with; nil for a fresh one.
        var born: [JournalRecord.Kind]?
        var bornTasks = Liveness.gone
        /// Begun and not ended.
        var doing: [Action] = []
        /// Ended, not yet told to the machine. In order.
        var facts: [Event] = []
        var timers: Set<Timer> = []
        /// On disk.
        var journal: [JournalRecord.Kind] = []
        var tasks: Tasks
        var connected = false

        mutating func crash() {
            state = nil
            doing = []
            facts = []
            timers = []
            connected = false
        }

        mutating func write(_ kind: JournalRecord.Kind) {
            // Later attempts to settle write the same again; once is enough to tell.
            if !journal.contains(kind) { journal.append(kind) }
        }

        var isOpen: Bool { journal.contains(.opened) && !journal.contains(.done) }
    }

    typealias Source = Node<SourceAction, SourceEvent, SourceTimer, SourceState>
    typealias Destination = Node<DestinationAction, DestinationEvent, DestinationTimer, DestinationState>

    var source = Source(tasks: .running)
    var destination = Destination(tasks: .none)
    var toDestination: [PeerMessage] = []
    var toSource: [PeerMessage] = []
    var faultsLeft: Int
    let method: Plan.Method
    let grain: Grain

    /// How finely the order of events is told apart.
    enum Grain: Hashable, Sendable {
        /// Everything may happen between an action's effect and the moment when the machine learns of it; timers may
        /// run out at any time.
        case fine
        /// The machine learns at once, work that touches nothing shared is done first, timers run out when nothing
        /// else goes on. Crashes between effect and knowledge remain. Far fewer worlds, so more faults can be tried.
        case coarse
    }

    // What a watcher knows and the machines don't.
    var networkCut = false
    var ranAtDestination = false
    var filled = false
    /// A fault killed the restored copy.
    var copyDied = false
    /// The container ended by itself at the source.
    var exited = false
    /// The first rule that was broken.
    var broken: String?

    /// Whether a link that is lost before the freeze is waited for.
    let waits: Bool

    init(_ method: Plan.Method, faults: Int, grain: Grain, waits: Bool = true) {
        self.method = method
        self.waits = waits
        self.grain = grain
        faultsLeft = faults
        source.state = SourceState()
        tellSource(.started)
    }

    /// The rules that hold in every world, whatever happened.
    mutating func check() {
        if source.tasks == .running, destination.tasks == .running { breaks("two containers run") }
        if source.tasks == .running, ranAtDestination { breaks("the source runs after the destination ran") }
        if destination.tasks == .running {
            if !source.journal.contains(.decided) { breaks("the destination runs without a decision") }
            if source.journal.contains(.revoked) { breaks("the destination runs after the decision was revoked") }
            if !destination.journal.contains(.released) { breaks("the destination runs without `released` on disk") }
        }
    }

    mutating func breaks(_ rule: String) { if broken == nil { broken = rule } }

    // MARK: the machines, rebuilt from their states

    static let orders = orders(waiting: true)
    static let impatientOrders = orders(waiting: false)

    private static func orders(waiting: Bool) -> [Plan.Method: SourceOrder] {
        Dictionary(
            uniqueKeysWithValues: Plan.Method.allCases.map { method in
                let order = Sample.order(method) {
                    $0.downtimeLimit = 1000
                    $0.timeout = 60
                    if !waiting { $0.retryFor = 0 }
                }
                return (method, order)
            })
    }

    mutating func tellSource(_ event: SourceEvent) {
        guard let state = source.state else { return }
        var machine: SourceMachine
        if let born = source.born {
            machine = SourceMachine(
                recovering: born.map { Sample.record($0, .source, pagesStayBehind: method.leavesPages) },
                container: source.bornTasks)!
        } else {
            machine = SourceMachine((waits ? Self.orders : Self.impatientOrders)[method]!)
        }
        machine.state = state
        let actions = machine.handle(event)
        source.state = machine.state
        for action in actions { begin(action) }
    }

    mutating func tellDestination(_ event: DestinationEvent) {
        guard let state = destination.state else { return }
        var machine: DestinationMachine
        if let born = destination.born {
            machine = DestinationMachine(
                recovering: born.map { Sample.record($0, .destination) }, container: destination.bornTasks)!
        } else {
            machine = DestinationMachine(migration: Sample.id, peer: "alpha")
            machine.recovery = Sample.recovery
        }
        machine.state = state
        let actions = machine.handle(event)
        destination.state = machine.state
        for action in actions { begin(action) }
    }

    // MARK: the network

    mutating func send(_ message: PeerMessage, to role: Role) {
        // A repeated question that still waits says nothing new, and queues must stay finite.
        switch role {
        case .destination where source.connected: if !toDestination.contains(message) { toDestination.append(message) }
        case .source where destination.connected: if !toSource.contains(message) { toSource.append(message) }
        default: break
        }
    }

    mutating func breakLink() {
        toDestination = []
        toSource = []
        if source.connected {
            source.connected = false
            if source.state != nil { source.facts.append(.peerLost(Sample.problem)) }
        }
        if destination.connected {
            destination.connected = false
            if destination.state != nil { destination.facts.append(.peerLost(Sample.problem)) }
        }
    }

    /// The agent takes the connection and hands it to the session, which it starts if there is none.
    mutating func makeLink() {
        breakLink()
        if destination.state == nil { startDestination() }
        source.connected = true
        destination.connected = true
        source.facts.append(.connected)
        destination.facts.append(.connected)
    }

    mutating func startDestination() {
        destination.state = DestinationState()
        guard destination.journal.contains(.opened) else {
            destination.born = nil
            return
        }
        destination.born = destination.journal
        destination.bornTasks = destination.tasks == .running ? .running : destination.tasks == .none ? .gone : .frozen
        destination.state?.opened = true
        tellDestination(.started)
    }

    mutating func restartSource() {
        source.born = source.journal
        source.bornTasks = source.tasks == .running ? .running : source.tasks == .none ? .gone : .frozen
        source.state = SourceState()
        tellSource(.started)
    }

    /// The source's process ends, by a crash or by itself.
    mutating func crashSource() {
        source.crash()
        // CRIU dies with its parent and lets go of the tasks it holds.
        if source.tasks == .traced {
            source.tasks = .running
            if source.journal.contains(.decided) { breaks("after the decision only CRIU held the tasks") }
        }
        breakLink()
    }

    mutating func crashDestination() {
        destination.crash()
        breakLink()
    }
}
