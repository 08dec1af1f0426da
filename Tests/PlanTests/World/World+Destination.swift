import Model
@testable import Plan

/// What the destination's doers do to the world.
extension World {
    mutating func begin(_ action: DestinationAction) {
        switch action {
        case .enter, .note, .takeAddress: break
        case .send(let message): send(message, to: .source)
        case .startTimer(let timer, _): destination.timers.insert(timer)
        case .stopTimer(let timer): destination.timers.remove(timer)
        case .finish:
            // Records asked for before are still written by the doers.
            for case .journal(let record) in destination.doing { destination.write(record.kind) }
            destination.crash()
            breakLink()
        default: if !destination.doing.contains(action) { destination.doing.append(action) }
        }
    }

    mutating func perform(_ action: DestinationAction) {
        switch action {
        case .journal(let record):
            destination.write(record.kind)
            destination.facts.append(.journalWritten(record.kind))
        case .check: destination.facts.append(.checked(Sample.findings, Sample.recovery))
        case .prepare: destination.facts.append(.prepared(Prepared(rootfs: "/r", takesAddresses: true)))
        case .resume(let resumption): destination.facts.append(.resumed(resumption.number))
        case .startRestore: destination.facts.append(.restoreHeld)
        case .releaseRestore:
            destination.tasks = .frozen
            destination.facts.append(.restored)
        case .thaw:
            if destination.tasks == .none {
                destination.facts.append(deathOfCopy)
            } else {
                destination.tasks = .running
                ranAtDestination = true
                destination.facts.append(.thawed(Sample.running))
            }
        case .startFill:
            filled = true
            destination.facts.append(.filled)
        case .discard:
            destination.doing.removeAll { if case .journal = $0 { false } else { true } }
            if destination.tasks == .running { breaks("a running container was discarded") }
            destination.tasks = .none
            destination.facts.append(.discarded)
        case .clean: destination.facts.append(.cleaned)
        case .enter, .note, .send, .startTimer, .stopTimer, .takeAddress, .finish: break
        }
    }

    /// Only who restored the copy himself knows that it never ran.
    var deathOfCopy: DestinationEvent { destination.born == nil && !ranAtDestination ? .heldCopyDied : .containerExited }

    static func step(of action: DestinationAction) -> DestinationStep? {
        switch action {
        case .journal(let record): .journal(record.kind)
        case .check: .check
        case .prepare: .prepare
        case .resume: .resume
        case .startRestore: .startRestore
        case .releaseRestore: .restore
        case .thaw: .thaw
        case .startFill: .fill
        case .discard: .discard
        case .clean: .clean
        default: nil
        }
    }
}
