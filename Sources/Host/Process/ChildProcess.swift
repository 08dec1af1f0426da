import CLinux
import Glibc
import Synchronization

/// How a process ended.
public enum ExitStatus: Hashable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case signaled(Int32)

    public var isSuccess: Bool { self == .exited(0) }
    public var description: String {
        switch self {
        case .exited(let code): "exit code \(code)"
        case .signaled(let signal): "killed by signal \(signal)"
        }
    }

    init(waitStatus: Int32) {
        self =
            linux_status_signaled(waitStatus) != 0
            ? .signaled(linux_status_term_signal(waitStatus)) : .exited(linux_status_exit_code(waitStatus))
    }
}

/// A child that this process started and has to reap.
///
/// Going out of scope neither kills nor reaps: whoever starts a child waits for it, else a zombie stays.
public final class ChildProcess: Sendable {
    public let pid: Int32
    private let pidfd: Pidfd
    private let status = Mutex<ExitStatus?>(nil)

    init(pid: Int32) throws(SystemError) {
        self.pid = pid
        pidfd = try Pidfd(pid: pid)
    }

    /// For poll: readable when the child has ended.
    public var descriptor: Int32 { pidfd.descriptor.raw }

    /// Waits for the end and reaps. Later calls answer the same.
    /// - Returns: nil if the deadline passed first.
    public func wait(until deadline: MonotonicInstant? = nil) throws(SystemError) -> ExitStatus? {
        if let known = status.withLock({ $0 }) { return known }
        guard try pidfd.waitForEnd(until: deadline) else { return nil }
        return try reap()
    }

    private func reap() throws(SystemError) -> ExitStatus {
        try status.withLock { known throws(SystemError) in
            if let known { return known }
            var raw: Int32 = 0
            var result = linux_wait(pid, &raw, 0)
            while result == -Int(EINTR) { result = linux_wait(pid, &raw, 0) }
            try check("wait4", "pid \(pid)", result)
            let ended = ExitStatus(waitStatus: raw)
            known = ended
            return ended
        }
    }

    /// Sends a signal to exactly this child.
    /// - Returns: false if it has ended and been reaped.
    @discardableResult
    public func kill(_ signal: Int32) throws(SystemError) -> Bool { try pidfd.send(signal) }
}
