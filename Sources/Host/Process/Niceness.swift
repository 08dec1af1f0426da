import CLinux
import Glibc

/// Lets a process's threads go behind others, or beside them again: setpriority(2) of each.
///
/// A wish: without CAP_SYS_NICE nothing comes back from behind.
public enum Niceness {
    /// Sets the niceness of all threads of this process but the calling one. What the calling thread starts stays as it is: nobody
    /// gives a child its place back.
    /// - Parameter level: 0 (as others) to 19 (behind all).
    public static func setOthers(to level: Int32) {
        let own = Thread.currentID
        for name in (try? FileIO.list("/proc/self/task")) ?? [] {
            guard let thread = Int32(name), thread != own else { continue }
            _ = linux_set_nice(thread, level)
        }
    }
}
