public import Model

/// The pre-flight's judgement: facts in, findings out. Looks at nothing itself, so every rule is tested by a table.
///
/// docs/preflight.md lists the codes. Either side may judge; both come to the same result.
public struct Preflight: Sendable {
    public var source: HostFacts
    public var container: ContainerFacts
    public var destination: DestinationFacts
    public var wishes: PreflightWishes

    public init(source: HostFacts, container: ContainerFacts, destination: DestinationFacts, wishes: PreflightWishes) {
        self.source = source
        self.container = container
        self.destination = destination
        self.wishes = wishes
    }

    /// All findings, blockers first; within each kind in the order of the rules.
    public func findings() -> [Finding] {
        let all =
            hostFindings() + containerFindings() + processFindings() + socketFindings() + placeFindings()
            + networkFindings()
        return all.filter(\.isBlocker) + all.filter { !$0.isBlocker }
    }

    func blocker(_ code: String, _ what: String, _ why: String, _ hint: String) -> Finding {
        Finding(.blocker, code, what: what, why: why, hint: hint)
    }

    func warning(_ code: String, _ what: String, _ why: String, _ hint: String) -> Finding {
        Finding(.warning, code, what: what, why: why, hint: hint)
    }

    /// `a, b, c and 4 more`
    func shortList(_ items: [String], limit: Int = 5) -> String {
        let shown = items.prefix(limit).joined(separator: ", ")
        return items.count > limit ? "\(shown) and \(items.count - limit) more" : shown
    }
}

extension ByteCount {
    /// `1.5 GiB`, for people.
    var shown: String {
        var value = Double(rawValue), unit = 0
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        guard unit > 0 else { return "\(rawValue) bytes" }
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10) \(units[unit])" : "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }
}
