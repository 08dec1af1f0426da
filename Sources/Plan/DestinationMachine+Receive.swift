import Model

/// From the offer to `ready`: all that the destination can give up by itself.
extension DestinationMachine {
    mutating func idle(_ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .started: return settle()
        case .received(.offer(let offer)) where !state.opened:
            container = offer.container.id
            state.keepFor = offer.options.retryFor
            state.stage = .checking(wrongVersion: offer.version == Offer.currentVersion ? nil : offer.version)
            return [.enter(.check), .check(offer)]
        case .received(.release), .received(.resume): return [.send(.state(standing))]
        default: return untouched(event)
        }
    }

    mutating func checking(wrongVersion: Int?, _ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .checked(var answer, let recovery):
            self.recovery = recovery
            if let wrongVersion {
                answer.findings.append(
                    Finding(
                        .blocker, code: "protocol-version", role: .destination, what: "speak with the source",
                        why: "it speaks version \(wrongVersion) of the control protocol, this agent version "
                            + "\(Offer.currentVersion)", hint: "install the same Martlet on both hosts"))
            }
            state.stage = .offered
            return [.send(.findings(answer))]
        case .failed(.check, let problem): return finish(Ending(.refused, problem: problem))
        default: return untouched(event)
        }
    }

    mutating func offered(_ event: DestinationEvent) -> [DestinationAction] {
        guard case .received(.prepare(let order)) = event else { return untouched(event) }
        state.stage = .opening(order)
        state.opened = true
        return [record(.opened)]
    }

    /// Nothing of this attempt is on this host yet.
    private mutating func untouched(_ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .received(.abort(let reason)):
            let why = Problem(what: "receive a container", why: reason)
            state.stage = .aborted(why)
            return [.send(.aborted(reason: reason))]
        case .received(.bye):
            return finish(Ending(.refused, problem: Problem(what: "receive a container", why: "the source went away")))
        case .peerLost(let problem): return finish(Ending(.refused, problem: problem))
        case .interrupted: return finish(Ending(.refused, problem: Self.interrupted))
        default: return []
        }
    }

    static let interrupted = Problem(what: "receive a container", why: "the agent was stopped")

    /// What ends an attempt of which `ready` was not said.
    mutating func early(_ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .received(.abort(let reason)): discard(Problem(what: "receive the container", why: reason))
        case .received(.bye): discard(Problem(what: "receive the container", why: "the source went away"))
        case .peerLost(let problem), .failed(_, let problem): discard(problem)
        case .containerExited, .heldCopyDied:
            discard(Problem(what: "restore the container", why: "its tasks died before they ran"))
        case .interrupted: discard(Self.interrupted)
        default: []
        }
    }

    mutating func opening(_ order: PrepareOrder, _ event: DestinationEvent) -> [DestinationAction]? {
        guard event == .journalWritten(.opened) else { return nil }
        state.stage = .preparing
        return [.enter(.prepare), .prepare(order)]
    }

    mutating func preparing(_ event: DestinationEvent) -> [DestinationAction]? {
        guard case .prepared(let prepared) = event else { return nil }
        state.stage = .prepared(prepared)
        return [.send(.prepared(prepared)), .enter(.copy(round: 0))]
    }

    mutating func prepared(_ prepared: Prepared, _ event: DestinationEvent) -> [DestinationAction]? {
        switch event {
        case .received(.prepare): return [.send(.prepared(prepared))]
        case .received(.standBy):
            state.stage = .starting
            return [.startRestore]
        default: return returning(event)
        }
    }

    mutating func starting(_ event: DestinationEvent) -> [DestinationAction]? {
        guard event == .restoreHeld else { return returning(event) }
        state.stage = .standing
        return [.send(.standingBy)]
    }

    mutating func standing(_ event: DestinationEvent) -> [DestinationAction]? {
        switch event {
        case .received(.standBy): return [.send(.standingBy)]
        case .received(.cut):
            state.frozen = true
            return [.enter(.cut), .takeAddress]
        case .received(.shipped(let shipped)):
            state.stage = .restoring
            return [.enter(.restore), .releaseRestore(shipped)]
        default: return returning(event)
        }
    }

    /// The source is lost while its container runs: what came is kept for a while, and it may come back.
    private mutating func returning(_ event: DestinationEvent) -> [DestinationAction]? {
        switch event {
        case .peerLost(let problem):
            guard state.keepFor > 0, !state.frozen else { return nil }
            let limit = Duration.seconds(state.keepFor) + Patience.returning
            let words = "\(problem.what): \(problem.why); what came is kept for \(limit.components.seconds) s"
            return [.note(words), .startTimer(.returning, limit)]
        case .received(.resume(let resumption)): return [.resume(resumption)]
        case .resumed(let number):
            // Losses that were told meanwhile were those of the earlier connections.
            state.connected = true
            return [.stopTimer(.returning), .send(.resumed(number))]
        case .timer(.returning):
            return discard(Problem(what: "receive the container", why: "the source was lost and did not come back in time"))
        default: return nil
        }
    }

    mutating func restoring(_ event: DestinationEvent) -> [DestinationAction]? {
        guard event == .restored else { return nil }
        state.stage = .readying
        return [record(.ready)]
    }

    mutating func readying(_ event: DestinationEvent) -> [DestinationAction]? {
        guard event == .journalWritten(.ready) else { return nil }
        state.stage = .ready
        return [.enter(.decide), .send(.ready), .startTimer(.verdict, Patience.verdict)]
    }
}
