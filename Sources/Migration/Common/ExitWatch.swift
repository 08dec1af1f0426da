import Host

/// Waits for a container's end on a thread of its own.
///
/// Its first process ends last, but may not end at all while somebody traces its children: killed under CRIU's ptrace they stay
/// zombies that the kernel's end of the pid namespace waits for (zap_pid_ns_processes). So on cgroup v2 the group's emptiness
/// counts too.
final class ExitWatch: Sendable {
    private let wake: Pipe
    private let thread: Host.Thread

    /// - Parameters:
    ///   - pid: the container's first process.
    ///   - cgroup: where all of the container is, and nobody else.
    init(pid: Int32, cgroup: Cgroup, _ onExit: @escaping @Sendable () -> Void) throws(SystemError) {
        wake = try Pipe()
        let pidfd = try Pidfd(pid: pid)
        let process = SharedDescriptor(try pidfd.descriptor.duplicate())
        let stop = SharedDescriptor(try wake.read.duplicate())
        thread = try Host.Thread(named: "exit-watch") {
            if Self.ends(process.raw, cgroup, unless: stop.raw) { onExit() }
        }
    }

    /// - Returns: false when it was stopped before the end.
    private static func ends(_ process: Int32, _ cgroup: Cgroup, unless stop: Int32) -> Bool {
        var entries: [(descriptor: Int32, events: Poll.Events)] = [(stop, .input), (process, .input)]
        // Without it (v1, or the group is not there yet) only the process tells.
        guard let population = try? CgroupPopulation(of: cgroup) else {
            guard let ready = try? Poll.wait(entries, until: nil) else { return false }
            return ready[0].isEmpty
        }
        entries.append((population.descriptor, .priority))
        while true {
            // Looked at first: what the descriptor announces is what changed since.
            let isEmpty: Bool
            do { isEmpty = try population.isEmpty() } catch { return endsByItself(entries) }
            if isEmpty { return true }
            guard let ready = try? Poll.wait(entries, until: nil), ready[0].isEmpty else { return false }
            if !ready[1].isEmpty { return true }
        }
    }

    /// The group can't be read any more: the process remains.
    private static func endsByItself(_ entries: [(descriptor: Int32, events: Poll.Events)]) -> Bool {
        guard let ready = try? Poll.wait(Array(entries.prefix(2)), until: nil) else { return false }
        return ready[0].isEmpty
    }

    func stop() {
        try? writeBytes([1], to: wake.write.raw, name: "wake-up")
        thread.join()
    }
}
