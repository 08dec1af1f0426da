public import Model

/// Where the destination stands. `docs/phases.md` draws it.
struct DestinationState: Hashable, Sendable {
    enum Stage: Hashable, Sendable {
        /// → checking; of a recovering machine: discarding, ready, thawing, lost, aborted, leaving
        case idle
        /// → offered, finished
        case checking(wrongVersion: Int?)
        /// Findings were said; nothing touched. → opening, finished
        case offered
        /// Writing `opened`. → preparing, discarding
        case opening(PrepareOrder)
        /// → prepared, discarding
        case preparing
        /// Files and pages come in. → starting, discarding
        case prepared(Prepared)
        /// → standing, discarding
        case starting
        /// The restore is held at its request. → restoring, discarding
        case standing
        /// → readying, discarding
        case restoring
        /// Writing `ready`, which was not said yet. → ready, discarding
        case readying
        /// The source may have decided. → releasing, discarding (by the source's word, or when the copy died)
        case ready
        /// Writing `released`: from here it may be on disk. → thawing, ready (write failed), discarding (copy died)
        case releasing
        /// `released` is on disk. → filling, lost, finished (failed, recovery goes on)
        case thawing
        /// Runs. → leaving
        case filling(Running?)
        /// Misses nothing; clearing up, and, when that is done and the peer has gone, → finished
        case leaving(cleared: Bool, alone: Bool)

        /// The held copy is being killed. → aborting
        case discarding(Problem)
        /// Writing `aborted`. → aborted, finished (failed)
        case aborting(Problem, gone: Bool)
        /// → finished
        case aborted(Problem)
        /// Released and gone. → finished
        case lost
        /// No exit.
        case finished
    }

    var stage: Stage = .idle
    var connected = false
    /// How long the source may be lost while it copies, s. From its offer.
    var keepFor = 0
    /// The source's container is frozen, or about to be.
    var frozen = false
    /// Some of its own things may be on this host.
    var opened = false
}

/// Decides what the destination does next: a fact goes in, verbs come out.
///
/// The rules that keep two containers from running:
/// 1. Until `ready` is said it may give up by itself.
/// 2. Once `ready` was said, or may have been, it neither runs nor gives up by itself: it waits for the source's
///    `release` or `abort` and asks. Only the death of the held copy makes it give up, for then it can't run any more.
/// 3. It thaws only when `released` is on disk, and after that never gives up.
/// 4. It says `aborted` only when the held copy is dead and `aborted` is on disk, or recovery would find the same.
public struct DestinationMachine: ~Copyable, Sendable {
    let migration: MigrationID
    let peer: String
    let records: [JournalRecord]
    let liveness: Liveness
    var container: String
    var recovery: RecoveryFacts?
    var state = DestinationState()

    /// A session on first sight of a migration's id; waits for the source's `offer`.
    ///
    /// - Parameters:
    ///   - peer: the source as the agent sees it.
    public init(migration: MigrationID, peer: String) {
        self.migration = migration
        self.peer = peer
        records = []
        liveness = .gone
        container = ""
    }

    /// A session that takes over, or is started for an id that has a journal. Begin with `.started`.
    ///
    /// - Parameters:
    ///   - records: the destination's whole journal.
    ///   - container: what lives of the restored container now.
    /// - Returns: nil without an `opened` record: then use `init(migration:peer:)`.
    public init?(recovering records: [JournalRecord], container liveness: Liveness) {
        guard let opened = records.first(where: { $0.kind == .opened }) else { return nil }
        migration = opened.migration
        peer = opened.peer
        self.records = records
        self.liveness = liveness
        container = opened.container
        recovery = opened.recovery
        state.opened = true
    }

    /// What it would answer to `inquire`.
    public var standing: DestinationStanding {
        switch state.stage {
        case .idle, .finished: state.opened ? .preparing : .unknown
        case .checking, .offered, .opening, .preparing, .prepared, .starting, .standing, .restoring, .readying,
            .discarding, .aborting:
            .preparing
        case .ready, .releasing, .thawing: .ready
        case .filling(let running): .running(running)
        case .leaving: .filled
        case .aborted(let why): .aborted(reason: why.why)
        case .lost: .lost
        }
    }

    public var isFinished: Bool { state.stage == .finished }

    /// Takes one fact and returns what to do, in order.
    public mutating func handle(_ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .connected: state.connected = true
        case .peerLost: state.connected = false
        case .received(.inquire): return state.stage == .finished ? [] : [.send(.state(standing))]
        default: break
        }
        if state.stage == .idle, event != .started, !records.isEmpty {
            // A source that dials fast is heard before the session that took over has begun; what there is comes first.
            return settle() + handle(event)
        }
        switch state.stage {
        case .idle: return idle(event)
        case .checking(let wrong): return checking(wrongVersion: wrong, event)
        case .offered: return offered(event)
        case .opening(let order): return opening(order, event) ?? early(event)
        case .preparing: return preparing(event) ?? early(event)
        case .prepared(let prepared): return self.prepared(prepared, event) ?? early(event)
        case .starting: return starting(event) ?? early(event)
        case .standing: return standing(event) ?? early(event)
        case .restoring: return restoring(event) ?? early(event)
        case .readying: return readying(event) ?? early(event)
        case .ready: return ready(event)
        case .releasing: return releasing(event)
        case .thawing: return thawing(event)
        case .filling(let running): return filling(running, event)
        case .leaving(let cleared, let alone): return leaving(cleared, alone: alone, event)
        case .discarding(let why): return discarding(why, event)
        case .aborting(let why, let gone): return aborting(why, gone: gone, event)
        case .aborted(let why): return aborted(why, event)
        case .lost: return lost(event)
        case .finished: return []
        }
    }

    func record(_ kind: JournalRecord.Kind, reason: String? = nil) -> DestinationAction {
        .journal(
            JournalRecord(
                kind, migration: migration, role: .destination, container: container, peer: peer, reason: reason,
                recovery: kind == .opened ? recovery : nil))
    }

    mutating func finish(_ ending: Ending) -> [DestinationAction] {
        state.stage = .finished
        return DestinationTimer.allCases.map(DestinationAction.stopTimer) + [.finish(ending)]
    }
}
