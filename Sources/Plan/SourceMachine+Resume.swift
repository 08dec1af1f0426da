import Model

/// A link that is lost while the container runs here: the copy waits for it, and goes on where it was.
///
/// Nothing waits once the network is cut: a frozen container rolls back at once.
extension SourceMachine {
    /// Whether the loss of the peer may be waited for.
    ///
    /// Not while CRIU's page server is joined to the dump: that connection can't be made again.
    func mayReturn(_ companions: SourceState.Companions) -> Bool {
        guard let order, order.options.retryFor > 0 else { return false }
        return !(companions.asked && state.ways?.dump == .pageServer)
    }

    /// - Parameter work: what was under way and ends by itself.
    mutating func pause(
        _ point: SourceState.Pause.Point, _ companions: SourceState.Companions, work: SourceState.Pause.Work,
        _ problem: Problem
    ) -> [SourceAction]? {
        guard mayReturn(companions), let seconds = order?.options.retryFor else { return nil }
        state.losses += 1
        state.link = .down
        state.stage = .pausing(
            SourceState.Pause(point: point, companions: companions, work: work, number: state.losses, problem: problem))
        return [
            .note("\(problem.what): \(problem.why); the container runs on, \(identity.peer) is tried again for \(seconds) s"),
            .hangUp, .stopTimer(.answer), .startTimer(.reconnect, .seconds(seconds)),
        ] + dial()
    }

    mutating func pausing(_ pause: SourceState.Pause, _ event: SourceEvent) -> [SourceAction]? {
        var now = pause
        var actions: [SourceAction] = []
        switch event {
        case .connected: actions = [.send(.resume(Resumption(number: pause.number, seed: order?.seed)))]
        case .connectionFailed: actions = [.startTimer(.retry, Patience.retry)]
        case .peerLost:
            // Anew, with a number of its own: what is said of the last one may still come.
            state.losses += 1
            (now.number, now.agreed) = (state.losses, false)
            actions = [.hangUp, .startTimer(.retry, Patience.retry)]
        case .timer(.retry): actions = dial()
        case .received(.resumed(pause.number)): now.agreed = true
        case .received(.standingBy): now.companions.standingBy = true
        case .criuHeld: now.companions.criuHeld = true
        case .filesSynced, .cutShort(.syncFiles): now.work.remove(.files)
        case .roundFinished(let report):
            state.dirtyPages = report.dirtyPages
            _ = state.convergence?.roundFinished(report)
            now.work.remove(.round)
            if case .copying(let round) = now.point { now.point = .copying(round: round + 1) }
        case .cutShort(.round): now.work.remove(.round)
        case .timer(.reconnect):
            var problem = pause.problem
            problem.why += "; it did not come back within \(order?.options.retryFor ?? 0) s"
            return retreat(Ending(.rolledBack, problem: problem))
        default: return nil
        }
        state.stage = .pausing(now)
        guard now.agreed, now.work.isEmpty else { return actions }
        return actions + goOn(now)
    }

    /// What was in flight when the link went is found out by the doers and sent again with the next round.
    private mutating func goOn(_ pause: SourceState.Pause) -> [SourceAction] {
        let begun: [SourceAction] = [
            .note("\(identity.peer) is there again: going on"), .stopTimer(.reconnect), .stopTimer(.retry),
        ]
        var companions = pause.companions
        // The stream of the files is gone: a pass makes another, and says what changed meanwhile.
        companions.filesSynced = false
        var asked: [SourceAction] = []
        if companions.asked {
            asked = [.syncFiles]
            // A request that is lost, or an answer, comes again.
            if !companions.standingBy { asked += [.send(.standBy), .startTimer(.answer, Patience.answer)] }
        }
        switch pause.point {
        case .preparing:
            state.stage = .preparing(prepared: true, filesSynced: false)
            return begun + [.syncFiles]
        case .copying(let round):
            state.stage = .copying(round: round, companions)
            return begun + [.enter(.copy(round: round)), .startRound(round)] + asked
        }
    }
}
