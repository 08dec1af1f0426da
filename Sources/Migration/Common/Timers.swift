import Host

/// The timers that a state machine asked for; the doer's loop waits no longer than the next one.
struct Timers<Name: Hashable> {
    private var due: [Name: MonotonicInstant] = [:]

    mutating func start(_ name: Name, _ after: Duration) { due[name] = .now + after }
    mutating func stop(_ name: Name) { due[name] = nil }

    var next: MonotonicInstant? { due.values.min() }

    /// Takes one timer whose time has come.
    mutating func takeExpired() -> Name? {
        let now = MonotonicInstant.now
        guard let name = due.filter({ $0.value <= now }).min(by: { $0.value < $1.value })?.key else { return nil }
        due[name] = nil
        return name
    }
}
