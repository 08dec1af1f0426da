import Host

/// Frozen tasks that CRIU can't dump at this moment: thaw, wait a little, freeze again.
///
/// A parent inside vfork(2) counts as frozen (state D), but doesn't stop for ptrace before its child has called
/// execve(2): CRIU would wait for its whole timeout and refuse ("Unseizable non-zombie found, state D").
public enum UnseizableTasks {
    /// Looks for such tasks after a freeze, 10 µs a process.
    /// - Parameter processes: of the frozen cgroup.
    public static func find(among processes: [Int32]) -> [Int32] {
        processes.filter { pid in
            guard let threads = try? ProcFS.threads(of: pid) else { return false }
            return threads.contains { thread in (try? ProcessStat.of(thread: thread, in: pid))?.state == .uninterruptible }
        }
    }
}
