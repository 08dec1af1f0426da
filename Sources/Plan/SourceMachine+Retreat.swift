import Model

/// Back to a container that runs here; and what a restarted source does.
extension SourceMachine {
    static let exited = Problem(
        what: "migrate", why: "the container ended by itself", hint: "nothing is left to move or to recover")

    /// What ends an undecided attempt in whatever stage.
    mutating func undecided(_ event: SourceEvent) -> [SourceAction] {
        switch event {
        case .interrupted:
            let why = Problem(what: "migrate", why: "interrupted")
            return retreat(Ending(.rolledBack, problem: why, interrupted: true))
        case .containerExited: return retreat(Ending(.failed, problem: Self.exited))
        case .peerLost(let problem): return retreat(Ending(.rolledBack, problem: problem))
        case .failed(_, let problem): return retreat(Ending(.rolledBack, problem: problem))
        case .cutShort: return retreat(Ending(.rolledBack, problem: Self.cutShort))
        case .timer(.deadline):
            let why = Problem(what: "migrate", why: "the time of --timeout is over", hint: "give more time, or lower the load")
            return retreat(Ending(.rolledBack, problem: why))
        case .timer(.answer):
            let why = Problem(
                what: "wait for the destination's answer", why: "none came within \(Patience.answer)",
                hint: "look at the agent's log on the destination")
            return retreat(Ending(.rolledBack, problem: why))
        case .timer(.frozen):
            let why = Problem(
                what: "wait for the restored container", why: "it was not ready in time",
                hint: "look at the agent's log on the destination")
            return retreat(Ending(.rolledBack, problem: why))
        case .received(let message):
            switch message.standing {
            case .aborted(let reason):
                let why = Problem(what: "receive the container at \(identity.peer)", why: reason)
                return retreat(Ending(.rolledBack, problem: why), told: true)
            case .unknown:
                let why = Problem(what: "receive the container at \(identity.peer)", why: "it forgot the migration")
                return retreat(Ending(.rolledBack, problem: why), told: true)
            default: return []
            }
        default: return []
        }
    }

    /// - Parameter told: the destination has nothing any more.
    mutating func retreat(_ ending: Ending, told: Bool = false) -> [SourceAction] {
        let wasDecided = isDecided
        state.stage = .rollingBack(SourceState.Retreat(ending: ending, told: told))
        let reason = ending.problem?.why ?? ""
        var actions: [SourceAction] = [.rollBack(state.touched.undo)]
        if !told, state.link == .up { actions.append(.send(.abort(reason: reason))) }
        if !wasDecided { actions.append(record(.aborted, reason: reason)) }
        return actions + [.stopTimer(.deadline), .stopTimer(.answer), .stopTimer(.frozen), .stopTimer(.reconnect)]
    }

    mutating func rollingBack(_ retreat: SourceState.Retreat, _ event: SourceEvent) -> [SourceAction] {
        var now = retreat
        let sayAbort = SourceAction.send(.abort(reason: retreat.ending.problem?.why ?? ""))
        switch event {
        case .rolledBack: now.undone = true
        case .received(let message):
            switch message.standing {
            case .aborted, .unknown: now.told = true
            case .ready, .preparing: return [sayAbort]
            case .running, .filled, .lost, nil: return []
            }
        case .failed(.rollBack, let problem):
            return finish(Ending(.failed, problem: problem, needsRecover: true))
        case .connected: return retreat.told ? [] : [sayAbort]
        case .timer(.retry):
            guard !retreat.told else { return [] }
            return (state.link == .up ? [sayAbort] : dial()) + [.startTimer(.retry, Patience.retry)]
        case .timer(.patience): return leave(retreat)
        case .interrupted:
            guard retreat.undone else { return [.note("rolling back already")] }
            return leave(retreat)
        default: return []
        }
        guard now != retreat else { return [] }
        guard now.undone, now.told else {
            state.stage = .rollingBack(now)
            guard now.undone else { return [] }
            // It runs again: what is left is to spare the destination a held copy.
            return dial() + [.startTimer(.retry, Patience.retry), .startTimer(.patience, Patience.farewell)]
        }
        state.stage = .closing(now.ending)
        return [.send(.bye), record(.done)]
    }

    /// Ends without having told the destination.
    private mutating func leave(_ retreat: SourceState.Retreat) -> [SourceAction] {
        guard retreat.undone else { return [] }
        var ending = retreat.ending
        ending.needsRecover = true
        return [.note("\(identity.peer) could not be told; `martlet recover` tells it later")] + finish(ending)
    }

    /// The first step of a restarted source.
    mutating func settle() -> [SourceAction] {
        let behind = records.contains { $0.pagesStayBehind == true }
        let pass: FinalPass = behind ? .listOnly : .everything
        state.touched = .everything
        switch Settlement.of(.source, records: records, container: container) {
        case .rollBack(let why):
            let problem = Problem(what: "migrate", why: why)
            let revoked = records.contains { $0.kind == .revoked }
            if revoked { state.stage = .revoked(problem) }
            return retreat(Ending(container == .gone ? .failed : .rolledBack, problem: problem), told: revoked)
        case .askDestination:
            // Without its frozen copy the destination would run with holes in its memory: better not at all.
            state.stage = behind && container == .gone ? .revoking(Self.exited) : .releasing(pass)
            return dial() + [.startTimer(.retry, Patience.retry), .startTimer(.patience, Patience.decided)]
        case .finishCommit:
            guard container != .gone else { return kill() }
            state.stage = .filling(pass)
            return dial() + [.startTimer(.retry, Patience.retry), .startTimer(.patience, Patience.decided)]
        default:
            return finish(Ending(records.contains { $0.kind == .running } ? .migrated : .rolledBack))
        }
    }
}
