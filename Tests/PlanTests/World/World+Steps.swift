import Model
@testable import Plan

/// One thing that happens.
enum Step: Hashable, Sendable {
    // Ordinary course
    case perform(Role, Int)
    case tell(Role)
    case deliver(Role)
    case sourceTimer(SourceTimer)
    case destinationTimer(DestinationTimer)
    case recover(Role)
    // Faults, each taken from the budget
    case fail(Role, Int)
    /// A record reached the disk although its write failed.
    case failAfterEffect(Role, Int)
    case crash(Role)
    case crashAfterEffect(Role, Int)
    case lose(Role)
    case duplicate(Role)
    case overtake(Role)
    case cutLink
    case refuseConnection(Int)
    case interrupt(Role)
    case copyDies
    case containerExits

}

extension World {
    /// What may happen next.
    func steps(containerMayExit: Bool = false) -> [Step] {
        var steps = ordinarySteps()
        guard faultsLeft > 0 else { return steps }
        if source.state != nil {
            steps.append(.crash(.source))
            steps.append(.interrupt(.source))
            for (index, action) in source.doing.enumerated() where mayBePerformed(index, source.doing) {
                steps.append(.crashAfterEffect(.source, index))
                if case .connect = action { steps.append(.refuseConnection(index)) } else { steps.append(.fail(.source, index)) }
                if case .journal = action { steps.append(.failAfterEffect(.source, index)) }
            }
            for timer in [SourceTimer.answer, .frozen, .patience, .deadline, .reconnect] where source.timers.contains(timer) {
                steps.append(.sourceTimer(timer))
            }
            if containerMayExit, source.tasks != .none, !needsFrozenSource { steps.append(.containerExits) }
        }
        if destination.state != nil {
            steps.append(.crash(.destination))
            steps.append(.interrupt(.destination))
            for (index, action) in destination.doing.enumerated() where mayBePerformed(index, destination.doing) {
                steps.append(.crashAfterEffect(.destination, index))
                steps.append(.fail(.destination, index))
                if case .journal = action { steps.append(.failAfterEffect(.destination, index)) }
            }
        }
        if destination.tasks == .frozen { steps.append(.copyDies) }
        if source.connected || destination.connected { steps.append(.cutLink) }
        for (role, queue) in [(Role.destination, toDestination), (.source, toSource)] where mayDeliver(role) && !queue.isEmpty {
            steps += [.lose(role), .duplicate(role)]
            if queue.count > 1 { steps.append(.overtake(role)) }
        }
        return steps
    }

    /// In hybrid the frozen copy holds the only copy of some pages once the decision is made: who kills it then kills
    /// the container. That can't be healed by any rule, so it isn't tried.
    private var needsFrozenSource: Bool {
        method.leavesPages && source.journal.contains(.decided)
    }

    /// Without any fault.
    func ordinarySteps() -> [Step] {
        if grain == .coarse, let first = quietWork() { return [first] }
        var steps: [Step] = []
        if !source.facts.isEmpty { steps.append(.tell(.source)) }
        if !destination.facts.isEmpty { steps.append(.tell(.destination)) }
        for index in source.doing.indices where mayBePerformed(index, source.doing) { steps.append(.perform(.source, index)) }
        for (index, action) in destination.doing.enumerated() where mayBePerformed(index, destination.doing) {
            // Missing pages come from a frozen source over a connection.
            if action == .startFill, method.leavesPages, !filled, !(destination.connected && source.tasks != .none) { continue }
            steps.append(.perform(.destination, index))
        }
        if mayDeliver(.destination), !toDestination.isEmpty { steps.append(.deliver(.destination)) }
        if mayDeliver(.source), !toSource.isEmpty { steps.append(.deliver(.source)) }
        if source.state == nil, source.isOpen { steps.append(.recover(.source)) }
        if destination.state == nil, destination.isOpen { steps.append(.recover(.destination)) }
        if grain == .coarse, !steps.isEmpty { return steps }
        if destination.timers.contains(.again) { steps.append(.destinationTimer(.again)) }
        if source.timers.contains(.retry) { steps.append(.sourceTimer(.retry)) }
        if destination.timers.contains(.verdict) { steps.append(.destinationTimer(.verdict)) }
        if destination.timers.contains(.bye) { steps.append(.destinationTimer(.bye)) }
        if destination.timers.contains(.returning), !destination.connected { steps.append(.destinationTimer(.returning)) }
        return steps
    }

    /// Work whose order with anything else can't matter, because no other part of the world sees it.
    private func quietWork() -> Step? {
        let quietAtSource = source.doing.firstIndex {
            switch $0 {
            case .syncFiles, .startRound, .startCriu, .sendFinalPages, .shipImages, .clean: true
            default: false
            }
        }
        if let quietAtSource { return .perform(.source, quietAtSource) }
        let quietAtDestination = destination.doing.firstIndex {
            switch $0 {
            case .check, .prepare, .startRestore, .clean: true
            default: false
            }
        }
        return quietAtDestination.map { .perform(.destination, $0) }
    }

    /// Records keep their order; everything else may end in any order.
    private func mayBePerformed(_ index: Int, _ doing: [SourceAction]) -> Bool {
        guard case .journal = doing[index] else { return true }
        return !doing[..<index].contains { if case .journal = $0 { true } else { false } }
    }

    private func mayBePerformed(_ index: Int, _ doing: [DestinationAction]) -> Bool {
        guard case .journal = doing[index] else { return true }
        return !doing[..<index].contains { if case .journal = $0 { true } else { false } }
    }

    /// What comes over a connection is told after the connection itself.
    private func mayDeliver(_ role: Role) -> Bool {
        switch role {
        case .source:
            source.state != nil && !source.facts.contains(.connected)
        case .destination:
            destination.state != nil && !destination.facts.contains(.connected)
        }
    }

    /// The world after `step`.
    func after(_ step: Step) -> World {
        var world = self
        world.take(step)
        world.check()
        return world
    }

    private mutating func take(_ step: Step) {
        switch step {
        case .perform(.source, let index):
            let known = source.facts.count
            let action = source.doing.remove(at: index)
            perform(action)
            guard grain == .coarse, action != .connect, source.facts.count > known else { return }
            tellSource(source.facts.remove(at: known))
        case .perform(.destination, let index):
            let known = destination.facts.count
            perform(destination.doing.remove(at: index))
            guard grain == .coarse, destination.facts.count > known else { return }
            tellDestination(destination.facts.remove(at: known))
        case .tell(.source): tellSource(source.facts.removeFirst())
        case .tell(.destination): tellDestination(destination.facts.removeFirst())
        case .deliver(.source): tellSource(.received(toSource.removeFirst()))
        case .deliver(.destination): tellDestination(.received(toDestination.removeFirst()))
        case .sourceTimer(let timer):
            if timer != .retry { faultsLeft -= 1 }
            source.timers.remove(timer)
            tellSource(.timer(timer))
        case .destinationTimer(let timer):
            destination.timers.remove(timer)
            tellDestination(.timer(timer))
        case .recover(.source): restartSource()
        case .recover(.destination): startDestination()
        default:
            faultsLeft -= 1
            takeFault(step)
        }
    }

    private mutating func takeFault(_ step: Step) {
        switch step {
        case .fail(.source, let index):
            if let step = Self.step(of: source.doing.remove(at: index)) { source.facts.append(.failed(step, Sample.problem)) }
        case .fail(.destination, let index):
            if let step = Self.step(of: destination.doing.remove(at: index)) {
                destination.facts.append(.failed(step, Sample.problem))
            }
        case .failAfterEffect(.source, let index):
            guard case .journal(let record) = source.doing.remove(at: index) else { return }
            source.write(record.kind)
            source.facts.append(.failed(.journal(record.kind), Sample.problem))
        case .failAfterEffect(.destination, let index):
            guard case .journal(let record) = destination.doing.remove(at: index) else { return }
            destination.write(record.kind)
            destination.facts.append(.failed(.journal(record.kind), Sample.problem))
        case .crash(.source): crashSource()
        case .crash(.destination): crashDestination()
        case .crashAfterEffect(.source, let index):
            perform(source.doing.remove(at: index))
            check()
            crashSource()
        case .crashAfterEffect(.destination, let index):
            perform(destination.doing.remove(at: index))
            check()
            crashDestination()
        case .lose(.source): toSource.removeFirst()
        case .lose(.destination): toDestination.removeFirst()
        case .duplicate(.source): tellSource(.received(toSource[0]))
        case .duplicate(.destination): tellDestination(.received(toDestination[0]))
        case .overtake(.source): tellSource(.received(toSource.remove(at: 1)))
        case .overtake(.destination): tellDestination(.received(toDestination.remove(at: 1)))
        case .cutLink: breakLink()
        case .refuseConnection(let index):
            source.doing.remove(at: index)
            source.facts.append(.connectionFailed(Sample.problem))
        case .interrupt(.source): tellSource(.interrupted)
        case .interrupt(.destination): tellDestination(.interrupted)
        case .copyDies:
            destination.tasks = .none
            copyDied = true
            if destination.state != nil { destination.facts.append(deathOfCopy) }
        case .containerExits:
            source.tasks = .none
            exited = true
            // In hybrid the machine can take a decision back only while nobody was told of it.
            if method.leavesPages { tellSource(.containerExited) } else { source.facts.append(.containerExited) }
        default: break
        }
    }
}
