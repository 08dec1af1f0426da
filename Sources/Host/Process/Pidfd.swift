import CLinux
import Glibc

/// A process held by a descriptor, so that its number can't come to mean another one.
///
/// pidfd_open(2) Linux 5.3, pidfd_getfd(2) Linux 5.6 (needs ptrace rights on the target).
public struct Pidfd: ~Copyable, Sendable {
    public let pid: Int32
    public let descriptor: OwnedDescriptor

    /// Opens a process (a thread group's leader).
    public init(pid: Int32) throws(SystemError) {
        self.pid = pid
        descriptor = OwnedDescriptor(taking: Int32(try check("pidfd_open", "pid \(pid)", linux_pidfd_open(pid, 0))))
    }

    /// Opens the thread of a process: the process itself if it is the leader, else PIDFD_THREAD (Linux 6.9).
    init(pid: Int32, thread: Int32) throws(SystemError) {
        self.pid = pid
        let flags: UInt32 = thread == pid ? 0 : UInt32(O_EXCL)  // PIDFD_THREAD
        descriptor = OwnedDescriptor(taking: Int32(try check("pidfd_open", "thread \(thread)", linux_pidfd_open(thread, flags))))
    }

    /// Sends a signal to exactly this process.
    /// - Returns: false if it has ended and been reaped.
    @discardableResult
    public borrowing func send(_ signal: Int32) throws(SystemError) -> Bool {
        let result = linux_pidfd_send_signal(descriptor.raw, signal)
        if result == -Int(ESRCH) { return false }
        try check("pidfd_send_signal", "pid \(pid)", result)
        return true
    }

    /// Duplicates a descriptor of the process into this one.
    public borrowing func descriptor(_ number: Int32) throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(
            taking: Int32(
                try check("pidfd_getfd", "descriptor \(number) of pid \(pid)", linux_pidfd_getfd(descriptor.raw, number))))
    }

    /// Waits for the end of the process, which then is a zombie until its parent reaps it.
    /// - Returns: false if the deadline passed first.
    public borrowing func waitForEnd(until deadline: MonotonicInstant?) throws(SystemError) -> Bool {
        try !Poll.wait(descriptor.raw, for: .input, until: deadline).isEmpty
    }

    /// Whether the process has ended.
    public borrowing func hasEnded() throws(SystemError) -> Bool { try waitForEnd(until: MonotonicInstant.now) }
}
