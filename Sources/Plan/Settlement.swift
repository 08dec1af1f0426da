public import Model

/// What a restarted process finds of the container on its own host.
public enum Liveness: String, Hashable, Sendable, CaseIterable {
    /// Tasks of the attempt live and are not frozen.
    case running
    /// Tasks of the attempt live, frozen (source: stopped for the dump; destination: the held copy).
    case frozen
    /// None lives (or the host was booted since).
    case gone
}

/// What to do about an interrupted migration, from this role's own journal alone: the first step of `recover`, of the
/// guardian, and of a recovering machine. Where the peer is needed, `afterAnswer` is the second step.
public enum Settlement: Hashable, Sendable {
    /// No records, or `done`.
    case nothing
    /// Source: undecided. Thaw, open the network, tell the destination if it can be reached.
    case rollBack(why: String)
    /// Source: decided. Nothing may run here; say `release` until the destination answers.
    case askDestination
    /// Source: the destination is known to run. Serve missing pages until it's filled, then kill and clean.
    case finishCommit
    /// Destination: never ready. Kill and remove what there is, say `aborted`.
    case discard(why: String)
    /// Destination: ready. Hold, run nothing, ask the source.
    case waitForVerdict
    /// Destination: released. Thaw (again) and complete the memory.
    case run
    /// Destination: released, but no task lives: it ran and ended, or the host went down.
    case lost
    /// Only a person can say.
    case person(Doubt)

    public static func of(_ role: Role, records: [JournalRecord], container: Liveness) -> Settlement {
        let kinds = Set(records.map(\.kind))
        if kinds.isEmpty || kinds.contains(.done) { return .nothing }
        return role == .source ? source(kinds) : destination(kinds, records, container)
    }

    private static func source(_ kinds: Set<JournalRecord.Kind>) -> Settlement {
        // `revoked` dominates, whatever the order: it is written only when the destination can't run any more.
        if kinds.contains(.revoked) { return .rollBack(why: "the destination aborted after the decision") }
        if kinds.contains(.running) { return .finishCommit }
        if kinds.contains(.decided) { return .askDestination }
        return .rollBack(why: "the migration was interrupted before the decision")
    }

    private static func destination(
        _ kinds: Set<JournalRecord.Kind>, _ records: [JournalRecord], _ container: Liveness
    ) -> Settlement {
        if kinds.contains(.aborted) {
            return .discard(why: records.last { $0.kind == .aborted }?.reason ?? "aborted")
        }
        if kinds.contains(.released) || kinds.contains(.running) {
            return container == .gone ? .lost : .run
        }
        if kinds.contains(.ready) {
            return container == .gone ? .discard(why: "the held copy died") : .waitForVerdict
        }
        return .discard(why: "the destination was interrupted before it was ready")
    }

    /// The second step of a source that asked.
    public static func afterAnswer(_ standing: DestinationStanding) -> Settlement {
        switch standing {
        case .running, .filled: .finishCommit
        case .aborted: .rollBack(why: "the destination aborted and never ran")
        case .ready, .preparing: .askDestination
        case .unknown: .person(.destinationForgot)
        case .lost: .person(.destinationLost)
        }
    }

    /// What a person would have to know to choose, where the peer stays silent; nil where this side can settle by itself.
    public var doubt: Doubt? {
        switch self {
        case .askDestination: .destinationUnreachable
        case .waitForVerdict: .sourceUnreachable
        case .person(let doubt): doubt
        default: nil
        }
    }

    /// In words for `martlet status`.
    public var advice: String {
        switch self {
        case .nothing: "nothing is left to do"
        case .rollBack(let why): "\(why): the container goes on running here; `martlet recover` does it"
        case .askDestination:
            "the decision for the destination is written: the container stays frozen here until the destination "
                + "answers; `martlet recover` asks it"
        case .finishCommit: "the container runs at the destination; `martlet recover` removes the stopped copy here"
        case .discard(let why): "\(why): the copy here never ran and is removed by `martlet recover`"
        case .waitForVerdict:
            "a complete copy is held here and waits for the source's word; run `martlet recover` on the source"
        case .run: "the container was released here; `martlet recover` lets it run"
        case .lost: "the container was released here, but none of its tasks lives any more"
        case .person(let doubt): doubt.explanation
        }
    }
}

/// The cases in which no rule can tell whether the other copy runs. `martlet recover --run-here` shows the words and
/// asks before it obeys.
public enum Doubt: Hashable, Sendable {
    /// At the destination, ready: the source can't be reached.
    case sourceUnreachable
    /// At the source, decided: the destination can't be reached.
    case destinationUnreachable
    /// At the source, decided: the destination's journal is not there any more.
    case destinationForgot
    /// At the source, decided: the destination let it go, and it's gone.
    case destinationLost

    public var explanation: String {
        switch self {
        case .sourceUnreachable:
            "A complete copy is held here. Whether the source decided for it is not known. If the source still runs the "
                + "container, or will when it comes back, running it here makes two of it. Only if the source host is gone "
                + "for good, or you have stopped the container there: `martlet recover --run-here`."
        case .destinationUnreachable:
            "The decision for the destination is written, and it does not answer: the container may be running there. "
                + "Running the frozen copy here too would make two of it. Only if the destination host is gone for good, or "
                + "you have made sure that the container does not run there: `martlet recover --run-here`."
        case .destinationForgot:
            "The decision for the destination is written, but it has no record of this migration: its journal was removed. "
                + "Look there whether the container runs. Only if it does not: `martlet recover --run-here`."
        case .destinationLost:
            "The container was released at the destination, and its tasks are gone: it ended there, or that host went "
                + "down. The copy frozen here is the state of before. To go on from that: `martlet recover --run-here`; "
                + "whatever was done at the destination in between is lost, and peers may have seen it."
        }
    }
}
