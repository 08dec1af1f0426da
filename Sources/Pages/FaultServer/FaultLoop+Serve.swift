import Glibc
import Host
import Model
import Synchronization

/// Answering faults.
extension FaultLoop {
    private enum Served { case done, again, waits(PageKey), dead, failed(Int32) }

    func serveTask(_ number: UInt32) {
        guard let task = tasks[number] else { return }
        readEvents(task)
        serveFresh()
    }

    /// Answers what was just read; what can't be answered yet goes to `deferred` or `waiting`.
    func serveFresh() {
        while let fault = fresh.popLast() {
            statistics.faults += 1
            settle(fault, serve(fault), wasWaiting: false)
        }
    }

    /// Faults refused because the layout is changing: the events that explain it come first. The changer must get the
    /// processor to go on, so this naps instead of spinning at real-time priority.
    func retryDeferred() {
        guard !deferred.isEmpty else { return }
        sleepThread(.microseconds(30))
        let list = deferred
        deferred = []
        for fault in list where tasks[fault.task.number] != nil {
            readEvents(fault.task)
            settle(fault, serve(fault), wasWaiting: false)
        }
        serveFresh()
    }

    /// Pages have landed, or events changed what is waited for.
    func serveWaiting() {
        lookAgain = false
        let list = waiting
        waiting = []
        for fault in list {
            let answer = serve(fault)
            if case .waits = answer {} else { shared.store.watch(-1) }
            settle(fault, answer, wasWaiting: true)
        }
        shared.changed()  // the pusher waits for missing pages as well
    }

    private func settle(_ fault: Fault, _ answer: Served, wasWaiting: Bool) {
        switch answer {
        case .done:
            if wasWaiting {
                statistics.fetched += 1
                return
            }
            let time = fault.since.elapsed.wholeNanoseconds
            serviceTime += time
            serviceMax = max(serviceMax, time)
        case .again: deferred.append(fault)
        case .dead: bury(fault.task)
        case .failed(let code):
            if told.insert(code).inserted {
                let error = SystemError(call: "UFFDIO_COPY", subject: "pid \(fault.task.pid)", errno: code)
                shared.post(.failed(.put(pid: fault.task.pid, address: fault.address, error)))
            }
            deferred.append(fault)
        case .waits(let page):
            waiting.append(fault)
            if !wasWaiting {
                shared.store.watch(1)
                lookAgain = true  // it may have landed between the look and the watch
            }
            if !asked.contains(page) { ask(page) }
        }
    }

    /// Asks for a page and the missing ones beside it: who needs one soon needs the next, and each question costs a round trip.
    private func ask(_ page: PageKey) {
        let run = ahead.run(page, shared.store, window: shared.options.aroundPages)
        for index in 0..<run.count { asked.insert(PageKey(space: page.space, address: run.start + UInt64(index * pageSize))) }
        shared.onMissing(page.space, run)
    }

    /// Puts one page: its content, or zeros if the image has none.
    private func serve(_ fault: Fault) -> Served {
        guard let image = fault.task.view.withLock({ $0.image(of: fault.address) }),
            let space = fault.task.space, let entry = shared.store.find(space, image), !entry.isReleased
        else { return zero(fault) }
        let page = Int(image >> 12) & (Chunk.pages - 1)
        guard entry.has(.live, page) else { return zero(fault) }
        if entry.has(.have, page), let slot = entry.slot {
            let answer = fault.task.port.copy(to: fault.address, from: shared.store.core.data.page(slot, page), length: pageSize)
            return conclude(fault, answer) {
                statistics.copied += 1
                shared.heat.note(Heat.Spot(task: fault.task, entry: entry, page: page))
            }
        }
        // One that was placed is there already: the answer wakes the thread.
        if entry.has(.zero, page) || entry.has(.placed, page) { return zero(fault) }
        return .waits(PageKey(space: space, address: image))
    }

    private func zero(_ fault: Fault) -> Served {
        conclude(fault, fault.task.port.zero(fault.address)) { statistics.zeroed += 1 }
    }

    private func conclude(_ fault: Fault, _ answer: FaultPort.Answer, _ count: () -> Void) -> Served {
        switch answer {
        case .done, .partly:
            count()
            return .done
        case .present, .absent:  // the pusher was first; or the area went: the thread finds out by itself
            fault.task.port.wake(fault.address)
            return .done
        case .again: return .again
        case .dead: return .dead
        case .failed(let code): return .failed(code)
        }
    }
}
