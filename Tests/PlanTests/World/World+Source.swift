import Model
@testable import Plan

/// What the source's doers do to the world.
extension World {
    mutating func begin(_ action: SourceAction) {
        switch action {
        case .enter, .note, .announce, .take, .throttle, .serveMissing: break
        case .send(let message): send(message, to: .destination)
        case .hangUp:
            source.connected = false
            source.facts.removeAll { $0 == .connected || $0 == .peerLost(Sample.problem) }
            breakLink()
        case .startTimer(let timer, _): source.timers.insert(timer)
        case .stopTimer(let timer): source.timers.remove(timer)
        case .finish: crashSource()
        default:
            source.doing.append(action)
        }
    }

    /// The action has its effect; the fact waits to be told.
    mutating func perform(_ action: SourceAction) {
        switch action {
        case .connect: makeLink()
        case .journal(let record):
            source.write(record.kind)
            source.facts.append(.journalWritten(record.kind))
        case .syncFiles: source.facts.append(source.connected ? .filesSynced : .cutShort(.syncFiles))
        case .startRound:
            let report = Sample.report(dirty: method == .hybrid ? 1_000_000 : 0)
            source.facts.append(source.connected ? .roundFinished(report) : .cutShort(.round))
        case .startCriu: source.facts.append(.criuHeld)
        case .cutNetwork:
            networkCut = true
            source.facts.append(.networkCut)
        case .freeze:
            if source.tasks == .running { source.tasks = .frozen }
            source.facts.append(.frozen)
        case .releaseCriu:
            if source.tasks == .frozen { source.tasks = .traced }
            source.facts.append(.dumped)
        case .refreeze:
            if source.tasks == .traced { source.tasks = .frozen }
            source.facts.append(.refrozen)
        case .sendFinalPages: source.facts.append(.finalPagesSent)
        case .shipImages: source.facts.append(.imagesShipped(Sample.shipped))
        case .rollBack(let steps): rollBack(steps)
        case .killSource:
            if !ranAtDestination { breaks("the source was killed before the destination ran") }
            if method.leavesPages, !filled { breaks("the source was killed while pages were missing") }
            source.tasks = .none
            source.facts.append(.sourceKilled)
        case .clean: source.facts.append(.cleaned)
        case .enter, .note, .announce, .take, .throttle, .send, .hangUp, .startTimer, .stopTimer, .serveMissing, .finish: break
        }
    }

    private mutating func rollBack(_ steps: [UndoStep]) {
        source.doing.removeAll { if case .journal = $0 { false } else { true } }
        if steps.contains(.abandonCriu), source.tasks == .traced { source.tasks = .running }
        if steps.contains(.thaw), source.tasks == .frozen { source.tasks = .running }
        if steps.contains(.restoreNetwork) { networkCut = false }
        if source.tasks != .running, !exited { breaks("a rollback left the container stopped") }
        if networkCut { breaks("a rollback left the network cut") }
        source.facts.append(.rolledBack)
    }

    static func step(of action: SourceAction) -> SourceStep? {
        switch action {
        case .journal(let record): .journal(record.kind)
        case .syncFiles: .syncFiles
        case .startRound: .round
        case .startCriu: .startCriu
        case .cutNetwork: .cutNetwork
        case .freeze: .freeze
        case .releaseCriu: .dump
        case .refreeze: .refreeze
        case .sendFinalPages: .finalPages
        case .shipImages: .ship
        case .rollBack: .rollBack
        case .killSource: .kill
        case .clean: .clean
        default: nil
        }
    }
}
