import Containers
import Glibc
import Host
import Plan

/// The container as the kernel of one host knows it: what freezing, thawing and killing need, and nothing else, so that a
/// process that knows only the journal can do it too.
struct Site: Sendable {
    let cgroup: Cgroup
    let container: String
    let engine: RuncRuntime

    init(cgroup: String, container: String, runtimeRoot: String) {
        self.cgroup = Cgroup(path: cgroup)
        self.container = container
        engine = RuncRuntime(root: runtimeRoot)
    }

    /// What lives of the container, for a recovering machine.
    var liveness: Liveness {
        guard cgroup.exists, let processes = try? cgroup.processes(), !processes.isEmpty else { return .gone }
        let frozen = (try? CgroupFreezer(cgroup).isFrozen()) ?? false
        return frozen ? .frozen : .running
    }

    func thaw() throws(SystemError) {
        guard cgroup.exists else { return }
        try CgroupFreezer(cgroup).thaw()
    }

    func freeze() throws(SystemError) { try CgroupFreezer(cgroup).freeze() }

    /// Kills every task and waits until none is left.
    func kill() throws(SystemError) {
        guard cgroup.exists else { return }
        try CgroupFreezer(cgroup).kill()
    }

    /// Removes a container whose tasks are gone from its runtime, and its cgroup.
    ///
    /// The cgroup must not stay: with cgroup.freeze=1 left in it the next restore of this name would start frozen.
    func remove() throws {
        try engine.delete(container, force: true)
        try cgroup.remove()
    }
}

/// The boot that this host is in; tasks of another one are gone.
func bootID() -> String { (try? FileIO.readLine("/proc/sys/kernel/random/boot_id")) ?? "unknown" }
