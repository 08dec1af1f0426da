import Glibc
import Host
public import Model
import Synchronization

/// Gives restored processes their memory: answers the page faults of a lazy CRIU restore, and fills the rest in behind.
///
/// It listens on lazy-pages.socket before CRIU starts, serves faults from the moment a process connects, and fills after
/// `startFill()`, which belongs after the commit's release. The processes' own changes meanwhile (fork, mremap,
/// MADV_DONTNEED, munmap) are followed exactly. While it works, it and the keeper hold the only copy of the memory.
///
/// Two threads: the fault thread (real-time if permitted) and the pusher. They go on if the owner drops its reference;
/// they end with the event `filled`, or after `stop()`.
public final class FaultServer: Sendable {
    /// Asks for pages that are live but whose content hasn't come (hybrid copy). Called on the fault thread, once for each
    /// page that a thread waits for: pass it on and return. The answer is landing the pages in the store. If the source
    /// is unreachable, do nothing: the threads wait; `askAgain()` when it is back.
    public typealias MissingPageSource = @Sendable (SpaceID, PageRun) -> Void

    /// The store that it serves from; receivers may go on landing missing pages.
    public let store: PageStore
    private let shared: FaultShared
    private let thread: Host.Thread

    /// Starts to listen and to serve.
    /// - Parameters:
    ///   - folder: CRIU's work folder, where lazy-pages.socket is made.
    ///   - spaceOf: which image a process sees, by its pid inside the namespace; nil for one without pages. Called on the
    ///     fault thread.
    ///   - events: see `FaultServerEvent`.
    public convenience init(
        store: PageStore, folder: String, options: Options = .init(), spaceOf: @escaping @Sendable (Int32) -> SpaceID?,
        onMissing: @escaping MissingPageSource = { _, _ in }, events: @escaping @Sendable (FaultServerEvent) -> Void
    ) throws(FaultServerError) {
        do throws(SystemError) {
            let shared = FaultShared(
                store: store, journal: try TaskJournal(), options: options, onMissing: onMissing, wake: try WakeUp(), post: events
            )
            let loop = try FaultLoop(shared, listener: try LazyListener(folder: folder), spaceOf: spaceOf)
            try self.init(shared, loop)
        } catch { throw .system(error) }
    }

    /// Goes on where a dead server stopped.
    convenience init(
        takingOver store: PageStore, journal: TaskJournal, descriptors: Keeper.Holdings, options: Options,
        onMissing: @escaping MissingPageSource, events: @escaping @Sendable (FaultServerEvent) -> Void
    ) throws(FaultServerError) {
        if journal.word(.overflowed).load() != 0 { throw .journalFull }
        do throws(SystemError) {
            let shared = FaultShared(
                store: store, journal: journal, options: options, onMissing: onMissing, wake: try WakeUp(), post: events)
            let loop = try FaultLoop(shared, listener: nil) { _ in nil }
            loop.takeOver(descriptors)
            shared.changed { state in
                state.complete = true  // CRIU's connection died with the session
                state.started = journal.word(.fillStarted).load() != 0 ? .now : nil
            }
            try self.init(shared, loop)
        } catch { throw .system(error) }
    }

    private init(_ shared: FaultShared, _ loop: FaultLoop) throws(SystemError) {
        self.shared = shared
        store = shared.store
        store.setWatcher { [weak shared] in shared?.landed() }
        if shared.journal.word(.fillStarted).load() != 0 { shared.placeDirectly() }
        let priority: Host.Thread.Priority = shared.options.faultPriority.map { .realtime($0) } ?? .normal
        let pusher = Pusher(shared)
        shared.pusher.withLock { $0 = try? Host.Thread(named: "pusher") { pusher.run() } }
        thread = try Host.Thread(named: "fault-server", priority: priority) { loop.run() }
    }

    /// Begins to fill. A second call changes nothing.
    public func startFill() {
        shared.placeDirectly()
        shared.journal.word(.fillStarted).store(1)
        shared.changed { $0.started = $0.started ?? .now }
        store.endLandingAhead()
    }

    /// Whether the fill has begun, by this process or by the one that it took over from.
    public var isFilling: Bool { shared.journal.word(.fillStarted).load() != 0 }
    /// The keeper was let go, because everything is in place: its end is no loss.
    public var isKeeperReleased: Bool { shared.journal.word(.released).load() != 0 }
    /// Whether CRIU said that the restore is done, to this process or to the one that it took over from.
    public var isRestoreFinished: Bool { shared.journal.word(.finished).load() != 0 }

    /// Gives a keeper everything: the first, or a new one after `keeperLost`.
    public func attach(_ keeper: KeeperLink) { shared.command(.attach(keeper)) }

    /// Calls `onMissing` again for every page that a thread waits for: the source is back.
    public func askAgain() { shared.command(.askAgain) }

    /// Gives up at once, the keeper too: for an abort, after the processes have been killed. Processes that live on read
    /// zeros where pages were missing.
    public func stop() {
        shared.command(.stop)
        thread.join()
    }
}
