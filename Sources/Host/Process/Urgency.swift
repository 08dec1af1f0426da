import CLinux

/// Puts a whole process before everything else for the length of a freeze. Without it, on a busy host, each of the some
/// hundred times that a dump or a restore waits for something costs a turn of somebody else: 40 ms became 180 under
/// a load of six on two cores.
///
/// A wish: without CAP_SYS_NICE all stays as it is.
public enum Urgency {
    /// The ranks of SCHED_FIFO that are used. What everything else waits for comes first.
    public enum Rank: Int32, Sendable {
        /// Martlet's own threads.
        case worker = 3
        /// CRIU and the runtime's program, which are one chain of steps.
        case chain = 5
    }

    /// Raises all threads of a process that have no rank yet. What they start from now on inherits it; CRIU gives restored
    /// tasks the policy that they had.
    public static func raise(_ pid: Int32, to rank: Rank) {
        for thread in threads(of: pid) where linux_realtime_priority(thread) == 0 {
            _ = linux_set_thread_scheduler(thread, 1, rank.rawValue)
        }
    }

    /// Takes the rank back from those threads of a process that have just this one.
    public static func lower(_ pid: Int32, from rank: Rank) {
        for thread in threads(of: pid) where linux_realtime_priority(thread) == Int(rank.rawValue) {
            _ = linux_set_thread_scheduler(thread, 0, 0)
        }
    }

    private static func threads(of pid: Int32) -> [Int32] {
        ((try? FileIO.list("/proc/\(pid)/task")) ?? []).compactMap { Int32($0) }
    }
}
