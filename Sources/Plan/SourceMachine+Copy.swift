import Model

/// From the start to `ready`: all that can be undone by the source alone.
extension SourceMachine {
    mutating func idle(_ event: SourceEvent) -> [SourceAction] {
        guard event == .started else { return [] }
        guard let order else { return settle() }
        state.stage = .connecting
        var actions: [SourceAction] = [.enter(.check)]
        if let seconds = order.options.timeout { actions.append(.startTimer(.deadline, .seconds(seconds))) }
        return actions + dial()
    }

    mutating func connecting(_ event: SourceEvent) -> [SourceAction] {
        switch event {
        case .connected:
            guard let order else { return [] }
            state.stage = .offering
            let offer = Offer(
                migration: order.migration, container: order.container, source: order.capabilities,
                options: order.options, findings: order.findings, facts: order.facts)
            return [.send(.offer(offer)), .startTimer(.answer, Patience.answer)]
        case .connectionFailed(let problem): return refuse(unreachable: problem)
        default: return untouched(event)
        }
    }

    mutating func offering(_ event: SourceEvent) -> [SourceAction] {
        switch event {
        case .received(.findings(let answer)):
            guard let order else { return [] }
            let choice = WayChoice(order.options, source: order.capabilities, destination: answer.destination)
            // The destination has judged the same choice and told of it; this is for one that didn't.
            let findings = order.findings + answer.findings + choice.findings.filter { !answer.findings.contains($0) }
            if findings.contains(where: \.isBlocker) {
                return [.send(.bye)]
                    + finish(Ending(.refused, problem: findings.first(where: \.isBlocker)?.problem, findings: findings))
            }
            guard let ways = choice.ways else { return [] }
            if order.options.dryRun {
                return [.note(ways.words), .send(.bye)] + finish(Ending(.checked, findings: findings))
            }
            state.stage = .opening
            (state.ways, state.method) = (ways, choice.method)
            state.convergence = Convergence(
                options: order.options, canFetchLater: ways.isLazy,
                fixed: .estimate(sockets: order.container.sockets, memory: order.container.memory))
            return findings.map { .note("\($0.what): \($0.why)") }
                + [.note(ways.words), .take(ways), .stopTimer(.answer), record(.opened)]
        case .peerLost(let problem): return refuse(unreachable: problem)
        case .timer(.answer):
            return refuse(unreachable: Problem(what: "ask the destination", why: "it accepted the connection and said nothing"))
        default: return untouched(event)
        }
    }

    /// Events that end an attempt before anything was touched.
    private mutating func untouched(_ event: SourceEvent) -> [SourceAction] {
        switch event {
        case .interrupted:
            let why = Problem(what: "migrate", why: "interrupted before anything was touched")
            return [.send(.bye)] + finish(Ending(.rolledBack, problem: why, interrupted: true))
        case .timer(.deadline):
            let why = Problem(what: "migrate", why: "the time of --timeout is over; nothing was touched")
            return [.send(.bye)] + finish(Ending(.rolledBack, problem: why))
        case .containerExited: return [.send(.bye)] + finish(Ending(.failed, problem: Self.exited))
        default: return []
        }
    }

    private mutating func refuse(unreachable problem: Problem) -> [SourceAction] {
        let finding = Finding(
            .blocker, code: "destination-unreachable", role: .source, what: problem.what, why: problem.why,
            hint: problem.hint)
        return finish(Ending(.refused, problem: problem, findings: (order?.findings ?? []) + [finding]))
    }

    mutating func opening(_ event: SourceEvent) -> [SourceAction]? {
        guard event == .journalWritten(.opened), let order, let ways = state.ways else { return nil }
        state.stage = .preparing(prepared: false, filesSynced: false)
        let options = order.options
        let keepConnections =
            options.tcp == .established || options.tcp == .auto && order.container.network == .movable
        let streams = StreamCount.chosen(asked: options.streams, roundTrip: state.roundTrip, processors: order.processors)
        let prepare = PrepareOrder(
            compression: options.compression, tcpEstablished: keepConnections, streams: streams, ways: ways)
        let note = StreamCount.note(streams, asked: options.streams, roundTrip: state.roundTrip)
        return [.enter(.prepare)] + (note.map { [.note($0)] } ?? []) + [
            .send(.prepare(prepare)), .startTimer(.answer, Patience.answer),
        ]
    }

    mutating func preparing(prepared: Bool, files: Bool, _ event: SourceEvent) -> [SourceAction]? {
        switch event {
        case .received(.prepared) where !prepared:
            // Only now is there a place for the files.
            state.stage = .preparing(prepared: true, filesSynced: false)
            return [.stopTimer(.answer), .syncFiles]
        case .filesSynced where prepared:
            guard state.method?.hasRounds == true else { return withoutRounds() }
            state.touched.insert(.tracking)
            var companions = SourceState.Companions()
            // With a single round there is none to wait for them behind it.
            let ask = order?.options.maxRounds == 1 ? askForCompanions(&companions) : []
            state.stage = .copying(round: 0, companions)
            return [.enter(.copy(round: 0)), .startRound(0)] + ask
        case .peerLost(let problem) where prepared: return pause(.preparing, .init(), work: .files, problem)
        case .cutShort(.syncFiles) where prepared: return pause(.preparing, .init(), work: [], Self.cutShort)
        default: return nil
        }
    }

    /// Of work that noticed the loss before anybody else.
    static let cutShort = Problem(what: "copy the container", why: "a connection was lost")

    /// Freeze at once. These files are as fresh as another pass could make them.
    private mutating func withoutRounds() -> [SourceAction] {
        let companions = SourceState.Companions(filesSynced: true)
        guard state.method == .postCopy else { return arm(.everything, companions) }
        let decision = FreezeDecision(
            .postCopy, reason: "post-copy was asked for: all memory follows after the release",
            predictedDowntimeMS: state.convergence?.predictedDowntime(dirtyPages: 0))
        return [.announce(decision)] + arm(.listOnly, companions)
    }

    mutating func copying(_ round: Int, _ companions: SourceState.Companions, _ event: SourceEvent) -> [SourceAction]? {
        if let companions = joined(companions, event) {
            state.stage = .copying(round: round, companions)
            return companions.standingBy ? [.stopTimer(.answer)] : []
        }
        if let point = lost(event) {
            var work: SourceState.Pause.Work = companions.asked && !companions.filesSynced ? [.round, .files] : .round
            work.subtract(point.ended)
            return pause(.copying(round: round), companions, work: work, point.problem)
        }
        guard case .roundFinished(let report) = event else { return nil }
        state.dirtyPages = report.dirtyPages
        let decision = state.convergence?.roundFinished(report) ?? .freezeNow(reason: "there is no measure")
        if decision == .anotherRound { return another(round + 1, companions) }
        if case .throttle(let step) = decision {
            state.touched.insert(.processors)
            return [.throttle(step)] + another(round + 1, companions)
        }
        let choice = state.convergence?.choice(decision, dirtyPages: report.dirtyPages)
        let announce = choice.map { [SourceAction.announce($0)] } ?? []
        if case .giveUp(let reason) = decision {
            let problem = Problem(
                what: "keep the downtime limit", why: reason, hint: "allow a longer downtime, or leave out --strict-limit")
            return announce + retreat(Ending(.rolledBack, problem: problem))
        }
        if !companions.all, round + 1 < order?.options.maxRounds ?? 0 {
            var companions = companions
            let ask = askForCompanions(&companions)
            state.stage = .gathering(round: round, companions)
            return ask
        }
        if case .switchToHybrid = decision { return announce + arm(.listOnly, companions) }
        return announce + arm(.everything, companions)
    }

    /// What a loss ended already, and why; nil if the event is none.
    private func lost(_ event: SourceEvent) -> (ended: SourceState.Pause.Work, problem: Problem)? {
        switch event {
        case .peerLost(let problem): ([], problem)
        case .cutShort(.round): (.round, Self.cutShort)
        case .cutShort(.syncFiles): (.files, Self.cutShort)
        default: nil
        }
    }

    private mutating func another(_ round: Int, _ companions: SourceState.Companions) -> [SourceAction] {
        var companions = companions
        let ask = askForCompanions(&companions)
        state.stage = .copying(round: round, companions)
        return [.enter(.copy(round: round)), .startRound(round)] + ask
    }

    mutating func gathering(_ round: Int, _ companions: SourceState.Companions, _ event: SourceEvent) -> [SourceAction]? {
        if let point = lost(event) {
            let work: SourceState.Pause.Work = companions.filesSynced ? [] : .files
            return pause(.copying(round: round + 1), companions, work: work.subtracting(point.ended), point.problem)
        }
        guard let companions = joined(companions, event) else { return nil }
        let stop: [SourceAction] = event == .received(.standingBy) ? [.stopTimer(.answer)] : []
        guard companions.all else {
            state.stage = .gathering(round: round, companions)
            return stop
        }
        return stop + another(round + 1, companions)
    }

    /// Notes that one of the companions stands by; nil if the event is another.
    private func joined(_ companions: SourceState.Companions, _ event: SourceEvent) -> SourceState.Companions? {
        guard companions.asked else { return nil }
        var companions = companions
        switch event {
        case .criuHeld: companions.criuHeld = true
        case .received(.standingBy): companions.standingBy = true
        case .filesSynced: companions.filesSynced = true
        default: return nil
        }
        return companions
    }

    private mutating func askForCompanions(_ companions: inout SourceState.Companions) -> [SourceAction] {
        guard !companions.asked else { return [] }
        companions.asked = true
        state.touched.insert(.criu)
        return [.startCriu, .send(.standBy), .startTimer(.answer, Patience.answer)]
            + (companions.filesSynced ? [] : [.syncFiles])
    }

    private mutating func arm(_ pass: FinalPass, _ companions: SourceState.Companions) -> [SourceAction] {
        var companions = companions
        let ask = askForCompanions(&companions)
        state.stage = .arming(pass, companions, journaled: false)
        return ask + [record(.frozen)]
    }

    mutating func arming(
        _ pass: FinalPass, _ companions: SourceState.Companions, _ journaled: Bool, _ event: SourceEvent
    ) -> [SourceAction]? {
        var (companions, journaled) = (companions, journaled)
        if let now = joined(companions, event) {
            companions = now
        } else if event == .journalWritten(.frozen) {
            journaled = true
        } else {
            return nil
        }
        let stop: [SourceAction] = event == .received(.standingBy) ? [.stopTimer(.answer)] : []
        guard companions.all, journaled else {
            state.stage = .arming(pass, companions, journaled: journaled)
            return stop
        }
        state.stage = .cutting(pass)
        state.touched.insert(.network)
        return stop + [.enter(.cut), .cutNetwork]
    }

    mutating func cutting(_ pass: FinalPass, _ event: SourceEvent) -> [SourceAction]? {
        guard event == .networkCut else { return nil }
        state.stage = .freezing(pass)
        state.touched.insert(.frozen)
        return [.enter(.freeze), .freeze, .send(.cut), .startTimer(.frozen, frozenLimit(pass))]
    }

    mutating func freezing(_ pass: FinalPass, _ event: SourceEvent) -> [SourceAction]? {
        guard event == .frozen else { return nil }
        state.stage = .capturing(pass, SourceState.Capture())
        return [.enter(.capture), .releaseCriu, .sendFinalPages(pass), .syncFiles]
    }

    mutating func capturing(_ pass: FinalPass, _ capture: SourceState.Capture, _ event: SourceEvent) -> [SourceAction]? {
        var capture = capture
        var actions: [SourceAction] = []
        switch event {
        case .dumped: return [.enter(.ship), .refreeze, .shipImages]
        case .finalPagesSent: capture.pagesSent = true
        case .filesSynced: capture.filesSynced = true
        case .refrozen: capture.refrozen = true
        case .imagesShipped(let shipped): capture.shipped = shipped
        default: return nil
        }
        if capture.pagesSent, capture.filesSynced, capture.refrozen, let shipped = capture.shipped {
            state.stage = .awaitingReady(pass)
            actions = [.send(.shipped(shipped)), .enter(.restore)]
        } else {
            state.stage = .capturing(pass, capture)
        }
        return actions
    }

    mutating func awaitingReady(_ pass: FinalPass, _ event: SourceEvent) -> [SourceAction]? {
        guard case .received(let message) = event, message.standing == .ready else { return nil }
        state.stage = .deciding(pass, aborted: nil)
        return [.enter(.decide), record(.decided, pass: pass), .stopTimer(.frozen), .stopTimer(.deadline)]
    }
}
