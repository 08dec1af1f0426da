import Glibc
import Host
import Model

/// What there is: lists taken while everything is frozen.
extension TrackerCore {
    func listed(_ space: TrackedSpace) throws(SystemError) -> [PageRun] {
        if let live = space.live { return live }
        return try populated(space)
    }

    func populated(_ space: TrackedSpace) throws(SystemError) -> [PageRun] {
        var runs: [PageRun] = []
        try WriteProtectScan(scan: scan, scope: scope).everything(space, into: &runs)
        return runs
    }

    func livePages() throws(TrackerError) -> [SpacePages] {
        var all: [SpacePages] = []
        for space in spaces {
            do throws(SystemError) {
                all.append(SpacePages(space: space.id, pid: space.pid, runs: try listed(space)))
            } catch { throw .scan(pid: space.pid, error) }
        }
        return all
    }

    func threadStackPages() throws(TrackerError) -> [SpacePages] {
        var all: [SpacePages] = []
        for space in spaces {
            var runs: [PageRun] = []
            for pid in [space.pid] + space.sharers.map(\.pid) {
                let threads: [Int32]
                do throws(SystemError) { threads = try ProcFS.threads(of: pid) } catch { throw .scan(pid: pid, error) }
                for thread in threads {
                    guard let call = try? ThreadSystemCall.of(thread: thread, in: pid), let pointer = call.stackPointer,
                        pointer != 0
                    else { continue }
                    runs.append(PageRun(start: pointer & ~UInt64(pageSize - 1), count: 1))
                }
            }
            RunList.normalize(&runs)
            all.append(SpacePages(space: space.id, pid: space.pid, runs: runs))
        }
        return all
    }

    func detach() {
        isDetached = true
        for space in spaces { space.userfaultfd = nil }
    }
}
