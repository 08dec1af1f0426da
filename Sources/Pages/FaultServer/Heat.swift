import Host
import Synchronization

/// Where the container's threads are, as their faults tell: what the pusher does next, and how much of it at once.
final class Heat: Sendable {
    /// A page that was put for a thread that waited.
    struct Spot: Sendable {
        var task: FaultTask
        var entry: ChunkEntry
        var page: Int
    }

    private let spots = Mutex<[Spot]>([])
    private let hasSpots = Atomic<Bool>(false)
    private let lastFault = Atomic<Int64>(0)

    /// Older ones are of no use: the thread is elsewhere by then.
    private static let mostSpots = 32
    /// A call of the pusher holds the lock that a fault needs, some microseconds a page. While there are faults its calls are short.
    private static let quiet = 3_000_000
    private static let pagesBesideFaults = 4

    /// On the fault thread.
    func noteFaults(at time: MonotonicInstant) { lastFault.store(time.nanoseconds, ordering: .relaxed) }

    func note(_ spot: Spot) {
        spots.withLock { spots in
            if spots.count >= Self.mostSpots { spots.removeFirst() }
            spots.append(spot)
        }
        hasSpots.store(true, ordering: .releasing)
    }

    /// The latest first.
    func takeSpots() -> [Spot] {
        guard hasSpots.load(ordering: .acquiring), hasSpots.exchange(false, ordering: .acquiringAndReleasing) else { return [] }
        return spots.withLock { spots in
            defer { spots = [] }
            return spots.reversed()
        }
    }

    /// Pages that one call may put now.
    func pagesPerCall(_ most: Int) -> Int {
        let since = MonotonicInstant.now.nanoseconds - lastFault.load(ordering: .relaxed)
        return since < Self.quiet ? min(most, Self.pagesBesideFaults) : most
    }
}
