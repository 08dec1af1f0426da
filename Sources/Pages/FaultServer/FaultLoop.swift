import CLinux
import Glibc
import Host
import Model
import Synchronization

/// The fault thread: the only one that reads userfaultfds, writes the journal and changes views.
///
/// It waits for all of them at once, for CRIU's connections, for the keeper and for commands. Faults go before
/// everything else, the pusher included: the lock of a view is a priority-inheriting futex, handed over when the pusher
/// has put its present 64 KB.
final class FaultLoop: @unchecked Sendable {
    // SAFETY: made by the owner, then used by the fault thread alone.
    let shared: FaultShared
    let poll: EventPoll
    var listener: LazyListener?
    var clients: [Int32: LazyClient] = [:]
    var tasks: [UInt32: FaultTask] = [:]
    var nextTask: UInt32 = 0
    private let spaceOf: @Sendable (Int32) -> SpaceID?
    var keeper: KeeperLink?
    var stopping = false
    private var overflowTold = false
    private let spare = UnsafeMutableRawPointer.allocate(byteCount: TaskJournal.batch * TaskJournal.recordBytes, alignment: 64)

    // Faults on their way; see FaultLoop+Serve.
    var fresh: [Fault] = []
    var deferred: [Fault] = []
    var waiting: [Fault] = []
    var asked: Set<PageKey> = []
    var ahead = AskAhead()
    var lookAgain = false
    var statistics = FillStatistics()
    var serviceTime = Int64(0), serviceMax = Int64(0)
    var told: Set<Int32> = []

    struct Fault {
        var task: FaultTask
        var address: UInt64
        var since: MonotonicInstant
    }
    struct PageKey: Hashable { var space: SpaceID, address: UInt64 }

    /// What a key of epoll stands for: the upper half says which kind, the lower half which one.
    enum Source {
        static let wake: UInt64 = 0, listener: UInt64 = 1, keeper: UInt64 = 2, client: UInt64 = 3, task: UInt64 = 4
    }

    init(_ shared: FaultShared, listener: LazyListener?, spaceOf: @escaping @Sendable (Int32) -> SpaceID?) throws(SystemError) {
        self.shared = shared
        self.listener = listener
        self.spaceOf = spaceOf
        poll = try EventPoll()
        try poll.add(shared.wake.raw, key: Source.wake << 32)
        if let listener { try poll.add(listener.raw, key: Source.listener << 32) }
    }

    deinit { spare.deallocate() }

    // MARK: the thread

    func run() {
        var ready = [linux_epoll_ready](repeating: linux_epoll_ready(), count: 64)
        while !stopping {
            let count = poll.wait(milliseconds: deferred.isEmpty ? -1 : 0, &ready)
            // Descriptors of tasks first: a fault waits for nothing else.
            for event in ready.prefix(count) where event.key >> 32 == Source.task {
                serveTask(UInt32(truncatingIfNeeded: event.key))
            }
            for event in ready.prefix(count) where event.key >> 32 != Source.task { handle(event) }
            retryDeferred()
            if lookAgain { serveWaiting() }
            tellOverflow()
            finishIfDone()
        }
        closeAll()
    }

    private func handle(_ event: linux_epoll_ready) {
        switch event.key >> 32 {
        case Source.wake: takeCommands()
        case Source.listener: acceptClient()
        case Source.keeper: serveKeeper(event.events)
        default: serveClient(Int32(truncatingIfNeeded: event.key))
        }
    }

    private func takeCommands() {
        for command in shared.takeCommands() {
            switch command {
            case .attach(let link): attach(link)
            case .landed: lookAgain = true
            case .reap: for task in Array(tasks.values) where task.isDead { bury(task) }
            case .askAgain:
                asked = []
                lookAgain = true
            case .stop: stopping = true
            }
        }
    }

    // MARK: CRIU's connections

    private func acceptClient() {
        guard let listener, let client = listener.accept() else { return }
        let raw = client.socket.descriptor.raw
        guard (try? poll.add(raw, key: Source.client << 32 | UInt64(raw))) != nil else { return }
        clients[raw] = client
    }

    private func serveClient(_ raw: Int32) {
        guard let client = clients[raw] else { return }
        while true {
            switch client.next() {
            case .idle: return
            case .task(let pid, let descriptor):
                let space = spaceOf(pid)
                let task = FaultTask(number: nextTask, pid: pid, space: space, isForked: false, port: FaultPort(descriptor))
                shared.journal.addTask(nextTask, pid: pid, space: space)
                shared.tasks.withLock { $0.append(task) }
                adopt(task)
                shared.post(.connected(pid: pid, space: space))
            case .finished:  // the pusher may find that everything is done: tell it only now
                shared.journal.word(.finished).store(1)
                shared.post(.finished)
                shared.changed { $0.complete = true }
            case .ended(let why):
                poll.remove(raw)
                clients[raw] = nil
                if let why { shared.post(.clientLost(why)) }
                return
            }
        }
    }

    // MARK: tasks

    /// Begins to serve a task. The keeper hears first: from here on its descriptor must outlive this process.
    func adopt(_ task: FaultTask) {
        nextTask = max(nextTask, task.number + 1)
        tasks[task.number] = task
        keeper?.send(task)
        do throws(SystemError) {
            try poll.add(task.port.raw, key: Source.task << 32 | UInt64(task.number))
        } catch { shared.post(.failed(.system(error))) }
        statistics.tasks += 1
        shared.changed()
    }

    /// The process is gone: nothing waits in it.
    func bury(_ task: FaultTask) {
        guard tasks.removeValue(forKey: task.number) != nil else { return }
        task.setDead()
        poll.remove(task.port.raw)
        shared.journal.markDead(task.number)
        shared.tasks.withLock { $0.removeAll { $0 === task } }
        keeper?.sendForget(task.number)
        fresh.removeAll { $0.task === task }
        deferred.removeAll { $0.task === task }
        let waiters = waiting.count
        waiting.removeAll { $0.task === task }
        shared.store.watch(waiting.count - waiters)
        if let space = task.space, !tasks.values.contains(where: { $0.space == space }) {
            shared.store.markGone(space, PageRun(start: 0, count: 1 << 45))  // nobody needs these pages any more
        }
        shared.changed()
    }

    /// Reads what one task has to tell; faults are added to `fresh`, the layout is followed at once.
    /// - Returns: whether something came.
    @discardableResult
    func readEvents(_ task: FaultTask) -> Bool {
        let now = MonotonicInstant.now
        shared.heat.noteFaults(at: now)
        var children: [FaultTask] = []
        var gone: [Range<UInt64>] = []
        let count = task.view.withLock { view in
            let count = shared.journal.read(task: task.number, task.port, spare: spare) { event in
                switch event.kind {
                case 0x12: fresh.append(Fault(task: task, address: event.address & ~4095, since: now))
                case 0x13:
                    let port = FaultPort(OwnedDescriptor(taking: Int32(bitPattern: event.child)))
                    let child = FaultTask(
                        number: nextTask, pid: task.pid, space: task.space, isForked: true, port: port, view: view)
                    nextTask += 1
                    children.append(child)
                    statistics.forks += 1
                case 0x14:
                    gone += view.move(from: event.from, to: event.to, length: event.length)
                    statistics.moves += 1
                case 0x15 where event.from < event.to, 0x16 where event.from < event.to:
                    gone += event.kind == 0x15 ? view.remove(event.from..<event.to) : view.unmap(event.from..<event.to)
                    statistics.removals += 1
                default: break
                }
            }
            // With the lock held: the kernel lets the pusher go on as soon as a fork is read, and a chunk must not be
            // given back as pushed to everyone while a child isn't on the list.
            if !children.isEmpty { shared.tasks.withLock { $0 += children } }
            return count
        }
        for child in children { adopt(child) }
        forget(gone, of: task)
        if !waiting.isEmpty, count > 0 { lookAgain = true }  // what a thread waits for may be gone or elsewhere
        return count > 0
    }

    /// Pages that the only process of a space removed need not be fetched from the source any more.
    private func forget(_ gone: [Range<UInt64>], of task: FaultTask) {
        guard !gone.isEmpty, let space = task.space, !tasks.values.contains(where: { $0 !== task && $0.space == space }) else {
            return
        }
        for range in gone { shared.store.markGone(space, PageRun(start: range.lowerBound, count: range.count >> 12)) }
        if shared.pusherWaits.load(ordering: .sequentiallyConsistent) { shared.changed() }
    }

    private func tellOverflow() {
        guard !overflowTold, shared.journal.word(.overflowed).load() != 0 else { return }
        overflowTold = true
        shared.post(.failed(.journalFull))
    }
}
