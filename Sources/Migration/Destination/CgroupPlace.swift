import Containers
import Host
import Model

/// The cgroup that a restore will be in. It must be the copy's alone: it is frozen as a whole, and killed as a whole when the attempt
/// is given up.
struct CgroupPlace {
    /// Folder in the cgroup file system; runc makes it if it isn't there.
    let path: String

    /// Whether somebody is in it. Not asked of a v1 group, nor of the root, which runc never makes its own.
    private var isTaken: Bool {
        guard let population = try? CgroupPopulation(of: Cgroup(path: path)) else { return false }
        return (try? population.isEmpty()) == false
    }

    private var inhabitants: [Int32] { (try? Cgroup(path: path).processes()) ?? [] }

    /// - Parameter isKnown: the runtime has a container of that name, which is another finding.
    func findings(isKnown: Bool) -> [Finding] {
        guard isTaken, !isKnown else { return [] }
        let pids = inhabitants
        let names = pids.prefix(5).map { "\($0) (\((try? ProcessStat.of(pid: $0))?.command ?? "?"))" }.joined(separator: ", ")
        return [
            Finding(
                .blocker, code: "cgroup-taken", role: .destination,
                what: "the cgroup \(path) has \(pids.count) \(pids.count == 1 ? "process" : "processes"): \(names)",
                why: "the copy needs it for itself: the whole cgroup is frozen, and killed when the move fails",
                hint: "end them, or move them to another cgroup")
        ]
    }

    /// Removes an empty one that something left behind. It may be frozen, and runc refuses that in the middle of the restore.
    /// - Throws: if somebody came into it since the check.
    func clear() throws {
        let cgroup = Cgroup(path: path)
        guard (try? CgroupPopulation(of: cgroup)) != nil else { return }  // none there, or v1, where runc thaws
        guard !isTaken else {
            throw TransferProblem("the cgroup \(path) has processes that are not the copy's: \(inhabitants)")
        }
        try cgroup.remove()
        logLine("removed the empty cgroup \(path) that something had left")
    }
}
