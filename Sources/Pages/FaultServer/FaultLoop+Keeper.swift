import Glibc
import Host
import Model
import Synchronization

/// The fault thread's dealings with the keeper, and the end of its work.
extension FaultLoop {
    // MARK: keeper

    /// Builds the tasks again from the journal and the descriptors that the keeper held. Before the thread starts.
    func takeOver(_ holdings: Keeper.Holdings) {
        var story: [UInt32: Remembered] = [:]
        shared.journal.replay { entry in Remembered.apply(entry, to: &story) }
        nextTask = UInt32(story.count)
        for (number, past) in story.sorted(by: { $0.key < $1.key }) where !past.isDead {
            guard let port = holdings.ports[number], let copy = try? port.duplicate() else {
                shared.post(.failed(.lostChild(parent: past.pid)))
                shared.journal.markDead(number)
                continue
            }
            let task = FaultTask(
                number: number, pid: past.pid, space: past.space, isForked: past.isForked, port: FaultPort(copy), view: past.view)
            shared.tasks.withLock { $0.append(task) }
            adopt(task)
            task.port.wakeAll()
        }
        holdings.ports = [:]
    }

    func attach(_ link: KeeperLink) {
        do throws(SystemError) {
            try link.begin(store: shared.store, journal: shared.journal)
            try poll.add(link.raw, key: Source.keeper << 32)
        } catch {
            shared.post(.failed(.system(error)))
            shared.post(.keeperLost)
            return
        }
        keeper = link
        for task in tasks.values.sorted(by: { $0.number < $1.number }) { link.send(task) }
        // One that came when the last one was already let go (its end looked like a death): nothing is left to be kept, and
        // the loop would wait for its end for ever.
        if shared.journal.word(.released).load() != 0 { link.sendRelease() }
        watchKeeperOutput()
    }

    func serveKeeper(_ events: UInt32) {
        guard let link = keeper else { return }
        link.flush()
        watchKeeperOutput()
        switch link.receive() {
        case .nothing: return
        case .released: break  // it has closed its descriptors: now ours may go
        case .lost: if shared.journal.word(.released).load() == 0 { shared.post(.keeperLost) }
        }
        poll.remove(link.raw)
        keeper = nil
    }

    private func watchKeeperOutput() {
        if let keeper { poll.watchOutput(keeper.raw, key: Source.keeper << 32, keeper.hasBacklog) }
    }

    // MARK: the end

    /// When everything is in place: lets the keeper close its userfaultfds first, answering faults all the while, since
    /// a fault is answered by nobody once the last reader has closed its descriptor and another holds one.
    func finishIfDone() {
        guard shared.done.load(ordering: .sequentiallyConsistent) else { return }
        for task in Array(tasks.values) { while readEvents(task) {} }
        serveFresh()  // a fork that was still unread adds a task, and `done` is withdrawn
        guard deferred.isEmpty, shared.done.load(ordering: .sequentiallyConsistent),
            let started = shared.fill.withLock({ $0.started })
        else { return }
        if shared.journal.word(.released).load() == 0 {
            statistics.duration = started.elapsed
            shared.journal.word(.released).store(1)
            keeper?.sendRelease()
            watchKeeperOutput()
        }
        guard keeper == nil else { return }
        stopping = true
    }

    func closeAll() {
        let filled = shared.journal.word(.released).load() != 0
        if !filled {  // stopped: the keeper must not take over what is being given up
            shared.journal.word(.released).store(1)
            keeper?.sendRelease()
        }
        shared.stopped.store(true, ordering: .sequentiallyConsistent)
        shared.changed()
        shared.pusher.withLock { $0.take()?.join() }  // it holds tasks, and so their descriptors
        shared.store.setWatcher(nil)
        shared.store.setPlacer(nil)
        shared.store.watch(-waiting.count)
        shared.tasks.withLock { $0 = [] }
        (fresh, deferred, waiting, tasks, clients, listener, keeper) = ([], [], [], [:], [:], nil, nil)
        if filled { shared.post(.filled(finalStatistics())) }
    }

    private func finalStatistics() -> FillStatistics {
        var result = statistics
        result.pushed = shared.counters.pushed.load(ordering: .relaxed)
        result.present = shared.counters.present.load(ordering: .relaxed)
        result.absent = shared.counters.absent.load(ordering: .relaxed)
        result.serviceMax = .nanoseconds(serviceMax)
        let served = result.faults - result.fetched
        result.serviceMean = .nanoseconds(served > 0 ? serviceTime / Int64(served) : 0)
        return result
    }
}
