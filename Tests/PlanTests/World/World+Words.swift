import Model
@testable import Plan

extension World {
    /// The step in words, told before it is taken.
    func words(_ step: Step) -> String {
        func doing(_ role: Role, _ index: Int) -> String {
            role == .source ? Self.short(source.doing[index]) : Self.short(destination.doing[index])
        }
        return switch step {
        case .perform(let role, let index): "\(role) does \(doing(role, index))"
        case .tell(.source): "source learns \(Self.short(source.facts[0]))"
        case .tell(.destination): "destination learns \(Self.short(destination.facts[0]))"
        case .deliver(let role): "\(role) hears '\((role == .source ? toSource : toDestination)[0].name)'"
        case .sourceTimer(let timer): "source timer \(timer)"
        case .destinationTimer(let timer): "destination timer \(timer)"
        case .recover(let role): "\(role) restarts"
        case .fail(let role, let index): "FAULT \(role) fails at \(doing(role, index))"
        case .failAfterEffect(let role, let index): "FAULT \(role) fails at \(doing(role, index)), which is on disk"
        case .crash(let role): "FAULT \(role) crashes"
        case .crashAfterEffect(let role, let index): "FAULT \(role) crashes right after \(doing(role, index))"
        case .lose(let role): "FAULT \(role) never hears '\((role == .source ? toSource : toDestination)[0].name)'"
        case .duplicate(let role): "FAULT \(role) hears '\((role == .source ? toSource : toDestination)[0].name)' twice"
        case .overtake(let role): "FAULT \(role) hears '\((role == .source ? toSource : toDestination)[1].name)' too early"
        case .cutLink: "FAULT the link breaks"
        case .refuseConnection: "FAULT the connection is refused"
        case .interrupt(let role): "FAULT \(role) is interrupted"
        case .copyDies: "FAULT the held copy dies"
        case .containerExits: "FAULT the container ends at the source"
        }
    }

    private static func short(_ value: some Any) -> String {
        if let action = value as? SourceAction, case .journal(let record) = action { return "journal \(record.kind)" }
        if let action = value as? DestinationAction, case .journal(let record) = action { return "journal \(record.kind)" }
        return String("\(value)".prefix(40))
    }
}
