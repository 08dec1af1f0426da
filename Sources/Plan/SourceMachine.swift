import Model

/// Decides what the source does next: a fact goes in, verbs come out.
///
/// The rules that keep two containers from running:
/// 1. Before `decided` is handed to the journal the source may thaw by itself at any time, and does so when anything
///    goes wrong. It never decides after that: one id is one attempt.
/// 2. From then on it thaws only when the destination durably said that it aborted and never ran.
/// 3. `release` is said only when `decided` is on disk.
/// 4. A failed write of `decided` may have reached the disk: it's treated like a decision of which nobody was told.
///
/// Everything in it is a value: no clock, no I/O, no randomness. Late, doubled and unknown events return no action.
public struct SourceMachine: ~Copyable, Sendable {
    let identity: Identity
    let order: SourceOrder?
    let records: [JournalRecord]
    let container: Liveness
    var state = SourceState()

    /// What every journal record names.
    struct Identity: Sendable {
        var migration: MigrationID
        var container: String
        var peer: String
        var recovery: RecoveryFacts
    }

    /// A fresh attempt. Begin with `.started`.
    public init(_ order: SourceOrder) {
        self.order = order
        records = []
        container = .running
        identity = Identity(
            migration: order.migration, container: order.container.id, peer: order.peer, recovery: order.recovery)
    }

    /// Settle an interrupted attempt, in the guardian or in `martlet recover`. Begin with `.started`.
    ///
    /// - Parameters:
    ///   - records: the whole journal of the source.
    ///   - container: what lives of it here now.
    /// - Returns: nil if the journal has no `opened`: then nothing was touched.
    public init?(recovering records: [JournalRecord], container: Liveness) {
        guard let opened = records.first(where: { $0.kind == .opened }), let recovery = opened.recovery else { return nil }
        order = nil
        self.records = records
        self.container = container
        identity = Identity(
            migration: opened.migration, container: opened.container, peer: opened.peer, recovery: recovery)
    }

    /// Whether the decision may have been made: an interrupt comes too late.
    public var isDecided: Bool {
        switch state.stage {
        case .deciding, .releasing, .revoking, .revoked, .filling, .killing, .cleaning, .closing: true
        default: false
        }
    }

    public var isFinished: Bool { state.stage == .finished }

    /// What the rounds told so far, for progress; nil before the offer was answered.
    public var forecast: Forecast? { state.convergence?.forecast }

    /// Takes one fact and returns what to do, in order.
    public mutating func handle(_ event: SourceEvent) -> [SourceAction] {
        switch event {
        case .connected: state.link = .up
        case .connectionFailed, .peerLost: state.link = .down
        case .containerExited: state.exited = true
        case .roundTrip(let time):
            state.roundTrip = min(time, state.roundTrip ?? time)
            return []
        default: break
        }
        switch state.stage {
        case .idle: return idle(event)
        case .connecting: return connecting(event)
        case .offering: return offering(event)
        case .opening: return opening(event) ?? undecided(event)
        case .preparing(let prepared, let files):
            return preparing(prepared: prepared, files: files, event) ?? undecided(event)
        case .copying(let round, let companions): return copying(round, companions, event) ?? undecided(event)
        case .gathering(let round, let companions): return gathering(round, companions, event) ?? undecided(event)
        case .pausing(let pause): return pausing(pause, event) ?? undecided(event)
        case .arming(let pass, let companions, let journaled):
            return arming(pass, companions, journaled, event) ?? undecided(event)
        case .cutting(let pass): return cutting(pass, event) ?? undecided(event)
        case .freezing(let pass): return freezing(pass, event) ?? undecided(event)
        case .capturing(let pass, let capture): return capturing(pass, capture, event) ?? undecided(event)
        case .awaitingReady(let pass): return awaitingReady(pass, event) ?? undecided(event)
        case .deciding(let pass, let aborted): return deciding(pass, aborted: aborted, event) ?? tooLate(event)
        case .releasing(let pass): return releasing(pass, event) ?? tooLate(event)
        case .revoking(let why): return revoking(why, event) ?? tooLate(event)
        case .revoked(let why): return revoked(why, event) ?? tooLate(event)
        case .filling(let pass): return filling(pass, event) ?? tooLate(event)
        case .killing: return killing(event) ?? tooLate(event)
        case .cleaning: return cleaning(event) ?? tooLate(event)
        case .closing(let ending): return closing(ending, event)
        case .rollingBack(let retreat): return rollingBack(retreat, event)
        case .finished: return []
        }
    }

    func record(_ kind: JournalRecord.Kind, reason: String? = nil, pass: FinalPass? = nil) -> SourceAction {
        .journal(
            JournalRecord(
                kind, migration: identity.migration, role: .source, container: identity.container, peer: identity.peer,
                reason: reason, recovery: kind == .opened ? identity.recovery : nil,
                pagesStayBehind: pass.map { $0 == .listOnly }))
    }

    mutating func finish(_ ending: Ending) -> [SourceAction] {
        state.stage = .finished
        var ending = ending
        if state.exited, ending.outcome == .rolledBack {
            ending = Ending(.failed, problem: Self.exited, needsRecover: ending.needsRecover)
        }
        return SourceTimer.allCases.map(SourceAction.stopTimer) + [.finish(ending)]
    }

    /// Dials unless a connection is up or being made.
    mutating func dial() -> [SourceAction] {
        guard state.link == .down else { return [] }
        state.link = .dialing
        return [.connect]
    }

    /// Memory that the frozen pass may have to send.
    var frozenBytes: ByteCount {
        if let dirty = state.dirtyPages { return ByteCount(dirty * pageSize) }
        return order?.container.memory ?? .zero
    }

    /// Longest time from the freeze to `ready`: `Patience.frozen`, and the transfer of what is left at 10 MB/s. That rate
    /// is a slow WAN's; below it a stop-copy is rolled back although it would have ended.
    func frozenLimit(_ pass: FinalPass) -> Duration {
        guard pass == .everything else { return Patience.frozen }
        return Patience.frozen + .milliseconds(frozenBytes.rawValue / 10_000)
    }
}
