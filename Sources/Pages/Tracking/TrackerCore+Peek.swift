import Glibc
import Host
import Model

/// Counting without taking.
extension TrackerCore {
    /// Pages that are dirty now, of the spaces that are known; nothing is registered or protected. Memory that came since the
    /// last round counts whole, as the next round will report it. Processes that came since then are not met.
    func peek() throws(TrackerError) -> PageCount? {
        guard kind != .contentHash else { return nil }
        var runs: [PageRun] = []
        for space in spaces {
            do throws(SystemError) {
                guard try space.readMap(&text) else { continue }
                switch kind {
                case .writeProtect:
                    var lists = LastLists()
                    try WriteProtectScan(scan: scan, scope: scope).frozen(space, into: &lists)
                    runs += lists.dirty
                case .softDirty:
                    for area in space.map.areas where scope.includes(area) {
                        try scan.softDirty(space, area.range, of: area, into: &runs)
                    }
                case .contentHash: break
                }
            } catch {
                if error.errno != ESRCH && error.errno != ENOENT { throw .scan(pid: space.pid, error) }
            }
        }
        return PageCount(runs.reduce(0) { $0 + $1.count })
    }
}
