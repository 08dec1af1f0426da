public import Host
public import Model

/// Why the fault server could not start, or what went wrong while it serves.
public enum FaultServerError: Error, Hashable, Sendable, CustomStringConvertible {
    case system(SystemError)
    case store(StoreError)
    /// A page could not be put into process `pid`; it is tried again for as long as the process waits. ENOMEM: the
    /// container's memory limit; EFAULT: the spill file can't be read.
    case put(pid: Int32, address: UInt64, SystemError)
    /// The journal for the keeper is full: serving goes on, but nobody can take over any more.
    case journalFull
    /// On taking over: a child of `parent` forked in the instant in which the session died, and its userfaultfd died
    /// with it. The child reads zeros where pages were missing: it must be killed.
    case lostChild(parent: Int32)
    /// The keeper's connection brought something else than was due.
    case keeperProtocol(String)

    public var description: String {
        switch self {
        case .system(let error): "fault server: \(error)"
        case .store(let error): "fault server: \(error)"
        case .put(let pid, let address, let error):
            "fault server: page 0x\(String(address, radix: 16)) of process \(pid) can't be put in place yet: \(error)"
        case .journalFull:
            "fault server: the journal of layout changes is full; if this process dies now, the container must be killed"
        case .lostChild(let parent):
            "fault server: a child that process \(parent) forked lost its memory server; kill that child"
        case .keeperProtocol(let text): "keeper connection: \(text)"
        }
    }
}

/// Figures of a fill.
public struct FillStatistics: Hashable, Sendable {
    /// Faults answered, with what: content, zeros, content that had to be fetched first.
    public var faults = 0, copied = 0, zeroed = 0, fetched = 0
    /// From reading a fault to its answer; fetched ones aren't counted.
    public var serviceMean = Duration.zero, serviceMax = Duration.zero
    /// Pages that the pusher put in place, found there already, found unmapped.
    public var pushed = 0, present = 0, absent = 0
    /// Layout events.
    public var forks = 0, removals = 0, moves = 0
    /// Processes served, forked children included.
    public var tasks = 0
    /// From `startFill` to the last page.
    public var duration = Duration.zero

    public init() {}
}

/// What the fault server tells. Delivered on the fault thread: only post it to a mailbox there.
public enum FaultServerEvent: Sendable {
    /// CRIU handed over the userfaultfd of a process (its pid inside the namespace). No space: the source sent no image
    /// for it, and all its lazy pages are zero.
    case connected(pid: Int32, space: SpaceID?)
    /// CRIU said that the restore is done (FIN). The tasks needn't run yet (commit.md).
    case finished
    /// CRIU's connection ended before FIN, or brought garbage: the restore failed.
    case clientLost(String)
    /// Every page is in place and all userfaultfds are closed. The last event.
    case filled(FillStatistics)
    /// Something failed; serving goes on.
    case failed(FaultServerError)
    /// The keeper died: spawn another one and `attach` it.
    case keeperLost
}

extension FaultServer {
    /// How to fill.
    public struct Options: Sendable {
        /// Pages put by one call. 16 pages are 64 KB: the best of the sizes tried (commit.md); larger ones let faults wait.
        public var pushPages = 16
        /// A missing page that a thread waits for is asked for together with the missing ones beside it, in windows of so many pages.
        public var aroundPages = 16
        /// SCHED_FIFO priority of the fault thread, nil for normal. The pusher always runs at normal priority: a
        /// real-time pusher ruined latency (90-830 ms).
        public var faultPriority: Int32? = 6
        /// Puts pages landed as hot first.
        public var hotFirst = false
        /// Gives the store's memory back behind the pusher.
        public var punch = true

        public init() {}
    }
}
