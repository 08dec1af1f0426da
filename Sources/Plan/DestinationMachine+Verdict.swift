import Model

/// From `ready` to the end, and the way out.
extension DestinationMachine {
    mutating func ready(_ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .received(.release): return release()
        case .received(.abort(let reason)): return discard(Problem(what: "receive the container", why: reason))
        case .containerExited, .heldCopyDied:
            return discard(Problem(what: "hold the restored container", why: "its tasks died before they ran"))
        // Saying `ready` again is the question: the source answers with its verdict.
        case .connected: return [.send(.ready)]
        case .timer(.verdict): return (state.connected ? [.send(.ready)] : []) + [.startTimer(.verdict, Patience.verdict)]
        case .peerLost: return [.note("the source is gone while a complete copy is held: waiting for its word")]
        case .runHere: return release()
        case .interrupted: return [.note(Settlement.waitForVerdict.advice)]
        default: return []
        }
    }

    private mutating func release() -> [DestinationAction] {
        state.stage = .releasing
        return [.enter(.release), .stopTimer(.verdict), record(.released)]
    }

    mutating func releasing(_ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .journalWritten(.released):
            state.stage = .thawing
            return [.thaw]
        case .failed(.journal(.released), let problem):
            // Perhaps on disk, not thawed: the next `release` tries again.
            state.stage = .ready
            return [.note("\(problem.what): \(problem.why)"), .startTimer(.verdict, Patience.verdict)]
        case .containerExited, .heldCopyDied:
            return discard(Problem(what: "release the restored container", why: "its tasks died before they ran"))
        default: return []
        }
    }

    mutating func thawing(_ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .thawed(let running):
            state.stage = .filling(running)
            return [.send(.running(running)), .enter(.fill), .startFill, record(.running)]
        case .failed(.thaw, let problem):
            // Neither running nor to be given up. Only this session and its keeper have the memory: try again and again.
            return [.note("\(problem.what): \(problem.why); trying again"), .startTimer(.again, Patience.retry)]
        case .timer(.again): return [.thaw]
        case .containerExited: return declareLost()
        // Nothing of it ran, so `released` is void.
        case .heldCopyDied:
            return discard(Problem(what: "release the restored container", why: "its tasks died before they ran"))
        default: return []
        }
    }

    private mutating func declareLost() -> [DestinationAction] {
        state.stage = .lost
        return state.connected ? [.send(.state(.lost))] : []
    }

    mutating func lost(_ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .received(.release), .received(.abort): return [.send(.state(.lost))]
        case .peerLost, .received(.bye), .interrupted:
            return finish(
                Ending(.failed, problem: Problem(what: "run the container", why: Settlement.lost.advice), needsRecover: true))
        default: return []
        }
    }

    mutating func filling(_ running: Running?, _ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .filled: return filled()
        case .containerExited:
            return [.note("the container ended by itself after it was moved")] + filled()
        case .received(.release), .received(.abort):
            return [.send(running.map(PeerMessage.running) ?? .state(.running(nil)))]
        case .failed(.fill, let problem):
            return [.note("\(problem.what): \(problem.why); trying again"), .startTimer(.again, Patience.retry)]
        case .timer(.again): return [.startFill]
        default: return []
        }
    }

    private mutating func filled() -> [DestinationAction] {
        state.stage = .leaving(cleared: false, alone: false)
        return [.send(.filled), .enter(.clean), .clean, .startTimer(.bye, Patience.bye)]
    }

    /// A migration without `done` stands in the way of the next one, so a session whose peer has gone clears up first.
    mutating func leaving(_ cleared: Bool, alone: Bool, _ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .cleaned, .failed(.clean, _):
            state.stage = .leaving(cleared: true, alone: alone)
            return [record(.done)] + (alone ? finish(Ending(.migrated)) : [])
        case .received(.release), .received(.abort): return [.send(.filled)]
        case .received(.bye) where !cleared, .peerLost where !cleared:
            state.stage = .leaving(cleared: false, alone: true)
            return []
        case .received(.bye), .peerLost, .timer(.bye), .interrupted: return finish(Ending(.migrated))
        default: return []
        }
    }

    // MARK: the way out

    mutating func discard(_ why: Problem) -> [DestinationAction] {
        state.stage = .discarding(why)
        return [.note("\(why.what): \(why.why)"), .stopTimer(.verdict), .stopTimer(.returning), .discard]
    }

    mutating func discarding(_ why: Problem, _ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .discarded:
            state.stage = .aborting(why, gone: true)
            return [record(.aborted, reason: why.why)]
        case .failed(.discard, let problem):
            state.stage = .aborting(why, gone: false)
            return [.note("\(problem.what): \(problem.why)"), record(.aborted, reason: why.why)]
        default: return []
        }
    }

    mutating func aborting(_ why: Problem, gone: Bool, _ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .failed(.journal(.aborted), let problem) where !gone:
            // It can promise nothing: a held copy lives, and the journal says `ready`.
            return finish(Ending(.failed, problem: problem, needsRecover: true))
        case .journalWritten(.aborted), .failed(.journal(.aborted), _):
            // Nothing is left to do here even if the source never hears of it; the journal answers later questions.
            let close = gone && event == .journalWritten(.aborted) ? [record(.done)] : []
            guard state.connected else { return close + finish(Ending(.rolledBack, problem: why, needsRecover: !gone)) }
            state.stage = .aborted(why)
            return [.send(.aborted(reason: why.why)), .startTimer(.bye, Patience.bye)] + close
        default: return []
        }
    }

    mutating func aborted(_ why: Problem, _ event: DestinationEvent) -> [DestinationAction] {
        switch event {
        case .received(.release), .received(.abort), .received(.resume): return [.send(.aborted(reason: why.why))]
        case .received(.bye), .peerLost, .timer(.bye), .interrupted: return finish(Ending(.rolledBack, problem: why))
        default: return []
        }
    }

    /// The first step of a restarted destination.
    mutating func settle() -> [DestinationAction] {
        switch Settlement.of(.destination, records: records, container: liveness) {
        case .discard(let why): return discard(Problem(what: "receive the container", why: why))
        case .waitForVerdict:
            state.stage = .ready
            return (state.connected ? [.send(.ready)] : []) + [.startTimer(.verdict, Patience.verdict)]
        case .run:
            state.stage = .thawing
            return [.enter(.release), .thaw]
        case .lost: return declareLost()
        default:
            // `aborted` behind `released` means that the held copy died before it was let go.
            let aborted = records.last { $0.kind == .aborted }
            if aborted == nil, records.contains(where: { $0.kind == .released }) {
                state.stage = .leaving(cleared: true, alone: false)
            } else {
                state.stage = .aborted(Problem(what: "receive the container", why: aborted?.reason ?? "aborted"))
            }
            return [.startTimer(.bye, Patience.bye)]
        }
    }
}
