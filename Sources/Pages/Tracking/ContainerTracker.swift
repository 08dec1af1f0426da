import CLinux
import Glibc
public import Host
public import Model
import Synchronization

/// Finds the pages that a container's processes write to, round by round, from outside and while they run.
///
/// Reading is apart from scanning: a round says which pages to read now; whoever sends them reads by
/// `SpaceRound.memory`, and tells `recordSent` what was read. A page that changes between scan and reading is reported
/// again in the next round, so that every copy is right after the final round, which is taken while everything is frozen.
///
/// Processes that appear, fork, exec and exit between rounds are followed. One that can't be tracked is reported whole in
/// each round: never silently lost.
public final class ContainerTracker: @unchecked Sendable {
    // SAFETY: `core` is touched only inside `lock`.
    private let lock = Mutex(())
    private let core: TrackerCore

    /// - Parameters:
    ///   - kind: how changes are found. Asked of the kernel here.
    ///   - scope: which memory counts.
    ///   - processes: pids of the container as of now, such as `Cgroup.processes`.
    public init(
        kind: TrackerKind, scope: TrackerScope = .privateAnonymous,
        processes: @escaping @Sendable () throws(SystemError) -> [Int32]
    ) throws(TrackerError) {
        let support = kind.probe()
        if let obstacle = support.obstacle { throw .unsupported(kind, reason: obstacle) }
        do {
            core = TrackerCore(kind: kind, scope: scope, kernel: try KernelScan.probe(), processes: processes)
        } catch { throw .unsupported(kind, reason: "\(error)") }
    }

    /// Finds what to read, while the container runs.
    public func round() throws(TrackerError) -> Round {
        try lock.withLock { _ throws(TrackerError) in try core.round(frozen: false) }
    }

    /// Counts the pages that a round would find now, and changes nothing: for a prediction.
    /// - Returns: nil where counting costs as much as a round (content hashes).
    public func peek() throws(TrackerError) -> PageCount? {
        try lock.withLock { _ throws(TrackerError) in try core.peek() }
    }

    /// Finds the rest. Everything must be frozen, and stay so until the pages are read.
    public func finalRound() throws(TrackerError) -> Round {
        try lock.withLock { _ throws(TrackerError) in try core.round(frozen: true) }
    }

    /// Every page that exists, for each space, after `finalRound` and still frozen. Copies of other pages are void: the program
    /// gave them back (MADV_DONTNEED leaves no other trace).
    public func livePages() throws(TrackerError) -> [SpacePages] {
        try lock.withLock { _ throws(TrackerError) in try core.livePages() }
    }

    /// The areas of a space as of the last round; nil if it has ended.
    public func areas(_ space: SpaceID) -> MemoryMap? { lock.withLock { _ in core.space(space)?.map } }

    /// All spaces, the oldest first, with their areas as of the last round.
    public var maps: [(space: SpaceID, map: MemoryMap)] { lock.withLock { _ in core.spaces.map { ($0.id, $0.map) } } }

    /// Tells what was read and sent for a space, so that the next round by content hash compares with that: what was scanned
    /// may have been another version. Other kinds need no call; for them it does nothing.
    /// - Parameter bytes: the runs' pages, packed.
    public func recordSent(_ space: SpaceID, _ runs: [PageRun], _ bytes: UnsafeRawBufferPointer) {
        lock.withLock { _ in core.recordSent(space, runs, bytes) }
    }

    /// Pages that hold the stack pointers of a space's threads, while frozen. CRIU writes there at the dump, so they go
    /// through its images.
    public func threadStackPages() throws(TrackerError) -> [SpacePages] {
        try lock.withLock { _ throws(TrackerError) in try core.threadStackPages() }
    }

    /// Lets go of all processes. Takes about 22 ms for each GB under protection: where it costs no downtime.
    public func detach() { lock.withLock { _ in core.detach() } }
}
