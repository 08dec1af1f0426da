public import Model

/// A piece of work inside the freeze, by the clock of the host that did it.
///
/// Phases follow one another; steps lie beside and inside each other, and show what a phase waited for.
public struct FrozenStep: Hashable, Sendable, Codable {
    public var name: String
    /// Monotonic clock of that host, ns.
    public var began: Int64
    public var ended: Int64

    public init(name: String, began: Int64, ended: Int64) {
        self.name = name
        self.began = began
        self.ended = ended
    }
}

/// A step in the result, on the axis of the phases.
public struct StepSpan: Hashable, Sendable, Codable {
    public var name: String
    public var side: Role
    public var startMS: Double
    public var durationMS: Double

    /// - Parameter migrationBegan: by the same clock as the step, ns.
    public init(_ step: FrozenStep, side: Role, migrationBegan: Int64) {
        name = step.name
        self.side = side
        startMS = Duration.nanoseconds(step.began - migrationBegan).milliseconds
        durationMS = Duration.nanoseconds(step.ended - step.began).milliseconds
    }

    private enum CodingKeys: String, CodingKey {
        case name, side
        case startMS = "start_ms"
        case durationMS = "duration_ms"
    }
}
