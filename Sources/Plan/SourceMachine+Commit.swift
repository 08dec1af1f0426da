/// From the decision to the end: the destination's copy counts, the source only follows.
extension SourceMachine {
    mutating func deciding(_ pass: FinalPass, aborted: String?, _ event: SourceEvent) -> [SourceAction]? {
        switch event {
        case .journalWritten(.decided):
            if let aborted { return revoke(Problem(what: "hold the restored container", why: aborted)) }
            state.stage = .releasing(pass)
            return [.enter(.release)] + sayRelease(pass) + [.startTimer(.patience, Patience.decided)]
        case .failed(.journal(.decided), let problem):
            if let aborted { return revoke(Problem(what: "hold the restored container", why: aborted)) }
            state.stage = .revoking(problem)
            return sayAbort(problem.why) + [.startTimer(.patience, Patience.decided)]
        case .received(let message):
            guard case .aborted(let reason) = message.standing else { return [] }
            state.stage = .deciding(pass, aborted: reason)
            return []
        case .containerExited where pass == .listOnly:
            // The pages that should have stayed behind are gone, and nobody was told of the decision yet.
            state.stage = .revoking(Self.exited)
            return sayAbort(Self.exited.why) + [.startTimer(.patience, Patience.decided)]
        default: return nil
        }
    }

    /// `release` now, or as soon as there is a connection; and again until it's answered.
    private mutating func sayRelease(_ pass: FinalPass) -> [SourceAction] {
        var actions: [SourceAction] = state.link == .up ? [.send(.release)] : dial()
        if pass == .listOnly, state.link == .up { actions.append(.serveMissing) }
        return actions + [.startTimer(.retry, Patience.retry)]
    }

    private mutating func sayAbort(_ reason: String) -> [SourceAction] {
        (state.link == .up ? [.send(.abort(reason: reason))] : dial()) + [.startTimer(.retry, Patience.retry)]
    }

    /// What a person reads who waits meanwhile.
    private func silence(_ problem: Problem) -> SourceAction {
        .note(
            "\(problem.what): \(problem.why); the decision is made, so \(identity.peer) is asked again and again "
                + "for up to \(Patience.decided.components.seconds) s")
    }

    mutating func releasing(_ pass: FinalPass, _ event: SourceEvent) -> [SourceAction]? {
        switch event {
        case .connected, .timer(.retry): return sayRelease(pass)
        case .peerLost(let problem): return [silence(problem), .startTimer(.retry, Patience.retry)]
        case .connectionFailed: return [.startTimer(.retry, Patience.retry)]
        case .received(let message):
            switch message.standing {
            case .running: return committed(pass)
            case .filled: return committed(pass) + kill()
            case .aborted(let reason): return revoke(Problem(what: "release the restored container", why: reason))
            case .unknown: return doubt(.destinationForgot)
            case .lost: return doubt(.destinationLost)
            case .ready: return [.send(.release)]
            case .preparing, nil: return []
            }
        case .timer(.patience): return doubt(.destinationUnreachable)
        case .runHere: return revoke(Problem(what: "migrate", why: "a person ordered it to run here"))
        default: return nil
        }
    }

    mutating func revoking(_ why: Problem, _ event: SourceEvent) -> [SourceAction]? {
        switch event {
        case .connected, .timer(.retry): return sayAbort(why.why)
        case .peerLost(let problem): return [silence(problem), .startTimer(.retry, Patience.retry)]
        case .connectionFailed: return [.startTimer(.retry, Patience.retry)]
        case .received(let message):
            switch message.standing {
            case .aborted: return revoke(why)
            // If nobody was told of the decision, a destination without a journal can't run either.
            case .unknown: return order == nil ? doubt(.destinationForgot) : revoke(why)
            // A source that was restarted doesn't know whether it had said `release`.
            case .filled: return committed(.listOnly) + kill()
            case .lost: return doubt(.destinationLost)
            case .ready: return [.send(.abort(reason: why.why))]
            default: return []
            }
        case .timer(.patience): return doubt(.destinationUnreachable)
        case .runHere: return revoke(why)
        default: return nil
        }
    }

    /// The destination can't run any more: take the decision back.
    private mutating func revoke(_ why: Problem) -> [SourceAction] {
        state.stage = .revoked(why)
        return [.stopTimer(.retry), .stopTimer(.patience), record(.revoked, reason: why.why)]
    }

    mutating func revoked(_ why: Problem, _ event: SourceEvent) -> [SourceAction]? {
        switch event {
        // If it is not on disk, recovery asks the destination and hears the same again.
        case .journalWritten(.revoked), .failed(.journal(.revoked), _):
            return retreat(Ending(why == Self.exited ? .failed : .rolledBack, problem: why), told: true)
        default: return nil
        }
    }

    /// The person is told once that it can't be stopped any more; other events don't matter.
    func tooLate(_ event: SourceEvent) -> [SourceAction] {
        switch event {
        case .interrupted: [.note("too late to stop: the decision is made, finishing")]
        case .containerExited: [.note("somebody killed the frozen copy here; pages that stayed behind are lost")]
        case .failed(.serveMissing, let problem): [.note("\(problem.what): \(problem.why)")]
        default: []
        }
    }

    private mutating func doubt(_ doubt: Doubt) -> [SourceAction] {
        let problem = Problem(
            what: "learn whether the container runs at \(identity.peer)", why: doubt.explanation,
            hint: "`martlet recover` asks again")
        return finish(Ending(.failed, problem: problem, needsRecover: true))
    }

    private mutating func committed(_ pass: FinalPass) -> [SourceAction] {
        state.stage = .filling(pass)
        return [.enter(.fill), record(.running), .stopTimer(.patience), .startTimer(.retry, Patience.retry)]
    }

    mutating func filling(_ pass: FinalPass, _ event: SourceEvent) -> [SourceAction]? {
        switch event {
        case .connected:
            return [.stopTimer(.patience), .send(.inquire)] + (pass == .listOnly ? [.serveMissing] : [])
        case .timer(.retry):
            return (state.link == .up ? [.send(.inquire)] : dial()) + [.startTimer(.retry, Patience.retry)]
        case .peerLost(let problem):
            return [
                silence(problem),
                .startTimer(.retry, Patience.retry), .startTimer(.patience, Patience.decided),
            ]
        case .connectionFailed: return [.startTimer(.retry, Patience.retry)]
        case .received(let message):
            switch message.standing {
            case .filled: return kill()
            case .lost: return doubt(.destinationLost)
            default: return []
            }
        case .timer(.patience):
            // It ran there and has all it needs; only pages that stayed behind are a reason to keep the frozen copy.
            return pass == .everything ? kill() : doubt(.destinationUnreachable)
        default: return nil
        }
    }

    mutating func kill() -> [SourceAction] {
        state.stage = .killing
        return [.enter(.clean), .stopTimer(.retry), .stopTimer(.patience), .killSource]
    }

    mutating func killing(_ event: SourceEvent) -> [SourceAction]? {
        switch event {
        case .sourceKilled:
            state.stage = .cleaning
            return [.clean(keepContainer: identity.recovery.keepSource)]
        case .failed(.kill, let problem): return finish(Ending(.failed, problem: problem, needsRecover: true))
        default: return nil
        }
    }

    mutating func cleaning(_ event: SourceEvent) -> [SourceAction]? {
        switch event {
        case .cleaned:
            state.stage = .closing(Ending(.migrated))
            return [.send(.bye), record(.done)]
        case .failed(.clean, let problem):
            return [.send(.bye)] + finish(Ending(.migrated, problem: problem, needsRecover: true))
        default: return nil
        }
    }

    mutating func closing(_ ending: Ending, _ event: SourceEvent) -> [SourceAction] {
        switch event {
        // Without `done` a later `recover` finds that there is nothing to do.
        case .journalWritten(.done), .failed(.journal(.done), _): finish(ending)
        default: []
        }
    }
}
