import Host
import Model
import Plan
import Synchronization

/// Where the frozen milliseconds go: this side's steps, noted by whichever thread did them.
final class StepLog: Sendable {
    private let noted = Mutex<[FrozenStep]>([])

    /// Runs a step and notes how long it took, however it ends.
    func time<R>(_ name: String, _ body: () throws -> R) rethrows -> R {
        let began = MonotonicInstant.now.nanoseconds
        defer { note(name, since: began) }
        return try body()
    }

    /// - Parameter began: `MonotonicInstant.nanoseconds`.
    func note(_ name: String, since began: Int64) {
        let step = FrozenStep(name: name, began: began, ended: MonotonicInstant.now.nanoseconds)
        noted.withLock { $0.append(step) }
    }

    var steps: [FrozenStep] { noted.withLock { $0 } }
}
