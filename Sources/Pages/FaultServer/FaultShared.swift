import Host
import Model
import Synchronization

/// What the fault thread, the pusher and the server's owner share.
final class FaultShared: Sendable {
    let store: PageStore
    let journal: TaskJournal
    let options: FaultServer.Options
    let post: @Sendable (FaultServerEvent) -> Void
    let onMissing: FaultServer.MissingPageSource
    let wake: WakeUp
    let tasks = Mutex<[FaultTask]>([])
    let commands = Mutex<[Command]>([])
    let fill = Monitor(FillState())
    /// The pusher found everything in place and nothing has changed since.
    let done = Atomic<Bool>(false)
    let stopped = Atomic<Bool>(false)
    /// The pusher waits for missing pages.
    let pusherWaits = Atomic<Bool>(false)
    private let landedQueued = Atomic<Bool>(false)
    let pusher = Mutex<Host.Thread?>(nil)
    let counters = Counters()
    let heat = Heat()

    enum Command: Sendable {
        case attach(KeeperLink)
        /// Pages landed that someone waits for.
        case landed
        /// The pusher found processes dead.
        case reap
        /// Ask the source again for what is waited for.
        case askAgain
        case stop
    }

    /// What the pusher waits for.
    struct FillState {
        var started: MonotonicInstant?
        /// No further task will come from CRIU.
        var complete = false
        /// Grows when there may be something to push: a task came or went, missing pages landed, FIN.
        var changes = 0
    }

    final class Counters: Sendable {
        let pushed = Atomic<Int>(0), present = Atomic<Int>(0), absent = Atomic<Int>(0)
    }

    init(
        store: PageStore, journal: TaskJournal, options: FaultServer.Options,
        onMissing: @escaping FaultServer.MissingPageSource, wake: WakeUp, post: @escaping @Sendable (FaultServerEvent) -> Void
    ) {
        self.store = store
        self.journal = journal
        self.options = options
        self.onMissing = onMissing
        self.wake = wake
        self.post = post
    }

    func command(_ command: Command) {
        commands.withLock { $0.append(command) }
        wake.signal()
    }

    /// Called by receivers while someone waits for pages: at most one command is queued.
    func landed() {
        if !landedQueued.exchange(true, ordering: .acquiringAndReleasing) { command(.landed) }
    }

    func takeCommands() -> [Command] {
        wake.clear()
        landedQueued.store(false, ordering: .sequentiallyConsistent)  // before the pages are looked at
        return commands.withLock { list in
            defer { list = [] }
            return list
        }
    }

    /// Lets the pusher look again.
    func changed(_ also: (inout FillState) -> Void = { _ in }) {
        fill.withLock { state in
            also(&state)
            state.changes += 1
            done.store(false, ordering: .sequentiallyConsistent)
        }
    }
}
