/// The phases with their times, filled by `enter` actions; times are passed in.
public struct PhaseTimeline: Sendable {
    private struct Mark {
        var phase: Phase
        var at: Duration
    }
    private var marks: [Mark] = []
    private var end: Duration?
    /// When the container ran at the destination, by the source's clock.
    private var ranAt: Duration?
    private var frozeAt: Duration?

    public init() {}

    /// - Parameters:
    ///   - at: time since the migration began, of the source's monotonic clock. A phase ends where the next begins.
    public mutating func enter(_ phase: Phase, at: Duration) {
        guard marks.last?.phase != phase else { return }
        marks.append(Mark(phase: phase, at: at))
        if phase == .freeze { frozeAt = at }
    }

    /// The restored container ran from `at` on (by the source's clock, see `ClockOffset`).
    public mutating func ran(at: Duration) { ranAt = at }
    public mutating func finish(at: Duration) { end = at }

    /// From the freeze to the run at the destination; nil if either did not happen.
    public var downtime: Duration? {
        guard let frozeAt, let ranAt else { return nil }
        return ranAt - frozeAt
    }

    public var total: Duration? { end }

    /// Spans of all phases that have ended, with rounds as `copy` once for each.
    public var spans: [PhaseSpan] {
        marks.indices.compactMap { index in
            guard let next = index + 1 < marks.count ? start(index + 1) : end else { return nil }
            let mark = marks[index]
            let began = start(index)
            return PhaseSpan(
                name: mark.phase.name, round: mark.phase.round, startMS: began.milliseconds,
                durationMS: (next - began).milliseconds,
                frozen: mark.phase.isFrozen)
        }
    }

    /// What is frozen ends when the container runs, not when the source hears of it.
    private func start(_ index: Int) -> Duration {
        let mark = marks[index]
        guard index > 0, !mark.phase.isFrozen, marks[index - 1].phase.isFrozen, let ranAt else { return mark.at }
        return min(max(ranAt, marks[index - 1].at), mark.at)
    }
}

extension Duration {
    /// Milliseconds, rounded to microseconds so that the JSON stays readable.
    public var milliseconds: Double {
        let (seconds, attoseconds) = components
        let microseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
        return Double(microseconds) / 1000
    }
}

/// The destination's monotonic clock as seen from the source, from probes over the control connection.
///
/// The best probe is the one with the shortest round trip; the error is at most half of it.
public struct ClockOffset: Hashable, Sendable {
    /// Destination minus source, ns.
    public private(set) var offset: Int64 = 0
    /// Of the best probe, ns; nil before the first.
    public private(set) var roundTrip: Int64?

    public init() {}

    /// - Parameters:
    ///   - probe: as it came back, with `answered`.
    ///   - received: the source's clock when it came back, ns.
    public mutating func take(_ probe: ClockProbe, received: Int64) {
        guard let answered = probe.answered, received >= probe.asked else { return }
        let trip = received - probe.asked
        guard trip < roundTrip ?? .max else { return }
        roundTrip = trip
        offset = answered - (probe.asked + trip / 2)
    }

    /// A time of the destination's clock by the source's clock, ns.
    public func atSource(_ destinationTime: Int64) -> Int64 { destinationTime - offset }
}
