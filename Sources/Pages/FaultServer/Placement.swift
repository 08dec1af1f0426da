import Model
import Synchronization

/// Pages that come after the release (hybrid, post-copy) and that one process only needs: they go from the receive buffer straight into
/// it. By way of the store each would be copied twice, into fresh memory twice, and two receivers would wait for one file's lock: a
/// fill of 0.85 GB took twice as long.
///
/// Lost with this process is nothing: what it was about to put is still missing for the one that takes over, and asked for again.
extension FaultShared {
    /// From the release on.
    func placeDirectly() { store.setPlacer { [weak self] entry, pages, bytes in self?.place(entry, pages, bytes) ?? 0 } }

    /// Runs on receivers' threads.
    /// - Returns: how many of the pages, from the first on, are in place or needed by nobody; the rest is for the store.
    func place(_ entry: ChunkEntry, _ pages: Range<Int>, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard let task = onlyTask(of: SpaceID(UInt32(entry.key >> 36))), let base = bytes.baseAddress else { return 0 }
        var page = pages.lowerBound
        var single = 0  // so many pages one by one, after a call that spanned two areas
        while let run = entry.missingRun(in: page..<pages.upperBound) {
            page = run.lowerBound
            let (count, answer) = task.put(
                entry.base + UInt64(page * pageSize), upTo: single > 0 ? 1 : min(options.pushPages, run.count),
                from: base + (page - pages.lowerBound) * pageSize
            ) {
                // Under the view's lock a child that was forked is on the list, or its fork is unread and the kernel refuses.
                onlyTask(of: task.space) === task
            }
            single = max(0, single - 1)
            let done: Int
            switch answer {
            case .done:
                counters.pushed.wrappingAdd(count, ordering: .relaxed)
                done = count
            case .partly(let pages):
                counters.pushed.wrappingAdd(pages, ordering: .relaxed)
                done = pages
            case .present, nil: done = 1  // a fault was answered before; or the process gave it back
            case .absent where count > 1:
                single = count
                continue
            case .absent: done = 1
            // The pusher tries again, and tells what is wrong.
            case .again, .dead, .failed: return page - pages.lowerBound
            }
            entry.set(.placed, page..<(page + done))
            page += done
        }
        return pages.count
    }

    /// The process that sees an image, if it is the only one that still needs pages of it.
    private func onlyTask(of space: SpaceID?) -> FaultTask? {
        tasks.withLock { tasks in
            var only: FaultTask?
            for task in tasks where task.space == space && task.needsPages {
                if only != nil { return nil }
                only = task
            }
            return only
        }
    }
}
