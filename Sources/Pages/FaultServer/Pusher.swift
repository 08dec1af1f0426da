import Glibc
import Host
import Model
import Synchronization

/// The background thread that puts every page in place: a process after the other, in address order, 64 KB a call, at
/// normal priority and without pacing (commit.md: the shortest fill disturbs least).
///
/// Forked children come last: most (a database's snapshot child) are gone by then, and filling them unshares memory.
final class Pusher: @unchecked Sendable {
    // SAFETY: made by the owner, then used by the pusher's thread alone.
    private let shared: FaultShared
    /// What a task still needs, once all that was there is in it: chunks with missing pages.
    private var todo: [UInt32: [Rest]] = [:]
    private var told: Set<Int32> = []
    /// Pages of the task at hand that were put out of turn, by chunk.
    private var outOfTurn: [UInt64: SIMD8<UInt64>] = [:]

    /// A chunk and the pages of it that are dealt with.
    private struct Rest {
        var entry: ChunkEntry
        var handled = SIMD8<UInt64>.zero
    }

    init(_ shared: FaultShared) { self.shared = shared }

    func run() {
        var seen = -1
        while let changes = look(after: seen) {
            seen = changes
            // Not before the freeze is over: until then everything of Martlet's has a rank.
            Host.Thread.apply(.yielding)
            for task in order() where !isStopped { fill(task) }
            settle(seen)
        }
    }

    /// Waits for something to do.
    /// - Returns: the count of changes then, nil to stop.
    private func look(after seen: Int) -> Int? {
        // Missing pages land one by one: take them together. 5 ms is far below what a fetch by background costs.
        if shared.pusherWaits.load(ordering: .relaxed) { sleepThread(.milliseconds(5)) }
        while !isStopped {
            let deadline = MonotonicInstant.now + .milliseconds(500)
            let changes = shared.fill.wait(until: deadline) { state in
                isStopped || (state.started != nil && state.changes != seen) ? state.changes : nil
            }
            if isStopped { return nil }
            if let changes { return changes }
            probe()
        }
        return nil
    }

    /// Nobody tells when a process dies that waits for pages: ask now and then.
    private func probe() {
        let dead = shared.tasks.withLock { $0 }.filter { !$0.isDead && !$0.port.isAlive }
        for task in dead { task.setDead() }
        if !dead.isEmpty { shared.command(.reap) }
    }

    private func order() -> [FaultTask] {
        let tasks = shared.tasks.withLock { $0 }.filter(\.needsPages)
        return tasks.filter { !$0.isForked } + tasks.filter(\.isForked)
    }
    private var isStopped: Bool { shared.stopped.load(ordering: .sequentiallyConsistent) }

    /// Declares the end if there is nothing left and nothing changed meanwhile; else says whether it waits for pages.
    private func settle(_ seen: Int) {
        let left = order()
        watch(!left.isEmpty)
        guard left.isEmpty else { return }
        let done = shared.fill.withLock { state in
            let done = state.complete && state.changes == seen
            if done { shared.done.store(true, ordering: .sequentiallyConsistent) }
            return done
        }
        if done { shared.wake.signal() }
    }

    private func watch(_ on: Bool) {
        guard shared.pusherWaits.exchange(on, ordering: .sequentiallyConsistent) != on else { return }
        shared.store.watch(on ? 1 : -1)
        if on { shared.changed() }  // a page may have landed between the pass and the watch
    }

    // MARK: one task

    /// Pushes all that is there; what is missing stays in `todo`.
    private func fill(_ task: FaultTask) {
        guard let space = task.space else { return task.setFilled() }
        outOfTurn = [:]
        let chunks = todo[task.number] ?? shared.store.chunks(of: space).map { Rest(entry: $0) }
        if shared.options.hotFirst, todo[task.number] == nil {
            for var rest in chunks where !isStopped { _ = push(task, &rest, hotOnly: true) }
        }
        var left: [Rest] = []
        for var rest in chunks {
            switch isStopped ? .stopped : push(task, &rest, hotOnly: false) {
            case .complete: if shared.options.punch, isLastUser(task) { shared.store.release(rest.entry) }
            case .missing: left.append(rest)
            case .dead:
                task.setDead()
                todo[task.number] = nil
                return shared.command(.reap)
            case .stopped: return
            }
        }
        todo[task.number] = left.isEmpty ? nil : left
        if left.isEmpty { task.setFilled() }
    }

    /// Whether no other process still needs the image. A child forked since then has all pages that were pushed before:
    /// the kernel refuses to push while a fork is unread.
    private func isLastUser(_ task: FaultTask) -> Bool {
        shared.tasks.withLock { $0.allSatisfy { $0 === task || $0.space != task.space || !$0.needsPages } }
    }

    private enum ChunkResult { case complete, missing, dead, stopped }

    private func push(_ task: FaultTask, _ rest: inout Rest, hotOnly: Bool) -> ChunkResult {
        let entry = rest.entry
        if entry.isReleased { return .complete }
        // Asked before the pages are looked at: one that lands meanwhile is met the next time.
        let missing = isMissing(task, entry)
        if let done = outOfTurn[entry.key] { rest.handled |= done }
        if let slot = entry.slot {
            var page = 0
            while let run = nextRun(rest, from: page, hotOnly: hotOnly) {
                shared.store.core.data.populate(slot, run)
                switch push(task, entry, slot, run) {
                case .complete: page = run.upperBound
                case let other: return other
                }
                Chunk.eachWord(run) { rest.handled[$0] |= $1 }
            }
        }
        return missing ? .missing : .complete
    }

    /// Whether this process still needs a page whose content isn't known.
    private func isMissing(_ task: FaultTask, _ entry: ChunkEntry) -> Bool {
        guard entry.hasMissing else { return false }
        let chunk = entry.base >> Chunk.shift
        return task.view.withLock { view in
            (0..<Chunk.words).contains { entry.missing($0) & ~view.gone.word(chunk, $0) != 0 }
        }
    }

    /// Neighbouring pages that are live, stored and not handled before.
    private func nextRun(_ rest: Rest, from: Int, hotOnly: Bool) -> Range<Int>? {
        func wanted(_ index: Int) -> UInt64 {
            var word = rest.entry.word(.live, index) & rest.entry.word(.have, index) & ~rest.handled[index]
            if hotOnly { word &= rest.entry.word(.hot, index) }
            return word
        }
        /// First page from `page` on whose bit, turned over by `flip`, is set.
        func first(from page: Int, _ flip: UInt64) -> Int? {
            var page = page
            while page < Chunk.pages {
                let word = (wanted(page >> 6) ^ flip) >> UInt64(page & 63)
                if word != 0 { return page + word.trailingZeroBitCount }
                page = (page | 63) + 1
            }
            return nil
        }
        guard let start = first(from: from, 0) else { return nil }
        return start..<(first(from: start, .max) ?? Chunk.pages)
    }

    private func push(_ task: FaultTask, _ entry: ChunkEntry, _ slot: Int, _ run: Range<Int>) -> ChunkResult {
        var page = run.lowerBound
        var single = 0  // so many pages one by one, after a call that spanned two areas
        while page < run.upperBound {
            let most = single > 0 ? 1 : min(shared.heat.pagesPerCall(shared.options.pushPages), run.upperBound - page)
            let image = entry.base + UInt64(page * pageSize)
            let (count, answer) = task.put(image, upTo: most, from: shared.store.core.data.page(slot, page))
            single = max(0, single - 1)
            switch answer {
            case nil: page += 1  // gone
            case .done:
                shared.counters.pushed.wrappingAdd(count, ordering: .relaxed)
                page += count
            case .partly(let done):
                shared.counters.pushed.wrappingAdd(done, ordering: .relaxed)
                page += done
            case .present:
                shared.counters.present.wrappingAdd(1, ordering: .relaxed)
                page += 1
            case .absent where count > 1: single = count
            case .absent:
                shared.counters.absent.wrappingAdd(1, ordering: .relaxed)
                page += 1
            case .again: sleepThread(.microseconds(50))  // the fault thread reads the events
            case .dead: return .dead
            case .failed(let code): report(task, image, code)
            }
            if isStopped { return .stopped }
            pushNearFaults(task)
        }
        return .complete
    }

    /// What lies behind a page that a thread waited for is needed next: it goes before everything else.
    private func pushNearFaults(_ task: FaultTask) {
        for spot in shared.heat.takeSpots() where spot.task === task {
            let wanted = (spot.page + 1)..<min(spot.page + 1 + Self.pagesNearFault, Chunk.pages)
            guard !spot.entry.isReleased, let slot = spot.entry.slot, !wanted.isEmpty else { continue }
            var rest = Rest(entry: spot.entry)
            rest.handled = outOfTurn[spot.entry.key] ?? .zero
            guard let run = nextRun(rest, from: wanted.lowerBound, hotOnly: false)?.clamped(to: wanted), !run.isEmpty else {
                continue
            }
            shared.store.core.data.populate(slot, run)
            var page = run.lowerBound
            while page < run.upperBound {
                let most = min(shared.heat.pagesPerCall(shared.options.pushPages), run.upperBound - page)
                let (count, answer) = task.put(
                    spot.entry.base + UInt64(page * pageSize), upTo: most, from: shared.store.core.data.page(slot, page))
                // Whatever else stands in the way is met in turn.
                guard answer == .done else { break }
                shared.counters.pushed.wrappingAdd(count, ordering: .relaxed)
                page += count
            }
            Chunk.eachWord(run.lowerBound..<page) { outOfTurn[spot.entry.key, default: .zero][$0] |= $1 }
        }
    }

    private static let pagesNearFault = 64

    /// Out of memory or an unreadable spill file: told once, tried again. Skipping would turn the page into zeros.
    private func report(_ task: FaultTask, _ address: UInt64, _ code: Int32) {
        if told.insert(code).inserted {
            let error = SystemError(call: "UFFDIO_COPY", subject: "pid \(task.pid)", errno: code)
            shared.post(.failed(.put(pid: task.pid, address: address, error)))
        }
        sleepThread(.milliseconds(10))
    }
}
