import Host

/// Who puts in its place what comes over connections of the attempt. After a loss of the link those of before have to be through
/// before others begin: else an older version of a page could land behind a newer one.
final class Intake: Sendable {
    private struct State {
        var generation = 0
        var inside: [Int: Int] = [:]
    }
    private let state = Monitor(State())

    /// What a connection belongs to: to be asked when it comes, before it is greeted.
    var generation: Int { state.withLock { $0.generation } }

    /// - Returns: false when another generation has begun since: nothing may come of it any more.
    func enter(_ generation: Int) -> Bool {
        state.withLock { state in
            guard generation == state.generation else { return false }
            state.inside[generation, default: 0] += 1
            return true
        }
    }

    /// - Returns: whether it is one of the present generation, whose end means something.
    func leave(_ generation: Int) -> Bool {
        state.withLock { state in
            state.inside[generation, default: 1] -= 1
            return generation == state.generation
        }
    }

    /// A new generation begins.
    func begin() { state.withLock { $0.generation += 1 } }

    /// Waits until nobody of an earlier generation is inside.
    /// - Returns: false when the time is over.
    func waitUntilIdle(within limit: Duration) -> Bool {
        state.wait(until: .now + limit) { state in
            state.inside.allSatisfy { $0.key == state.generation || $0.value == 0 } ? true : nil
        } ?? false
    }
}
