import CLinux
import Glibc
import Synchronization

/// Why no userfaultfd could be made inside a process. The process runs on unharmed in every case.
public enum InjectionError: Error, Hashable, CustomStringConvertible {
    /// The process has ended.
    case gone(pid: Int32)
    /// Every thread is in uninterruptible sleep; a later attempt may succeed.
    case uninterruptible(pid: Int32)
    /// A debugger (or CRIU) holds it.
    case traced(pid: Int32, by: Int32)
    /// A 32-bit program: its system calls are others.
    case thirtyTwoBit(pid: Int32)
    /// A seccomp filter that we have no right to suspend (CAP_SYS_ADMIN, and no filter of our own, are needed).
    case seccomp(pid: Int32)
    /// Its system calls are turned into signals (Wine does so).
    case dispatched(pid: Int32)
    /// No `syscall` instruction was found in its code.
    case noInstruction(pid: Int32)
    /// It didn't stop, or didn't make the call, in time: frozen by its cgroup, or a slow device.
    case timedOut(pid: Int32, step: String)
    /// This process is about to exit.
    case ending(pid: Int32)
    case failed(pid: Int32, SystemError)

    public var description: String {
        switch self {
        case .gone(let pid): "pid \(pid) has ended"
        case .uninterruptible(let pid): "pid \(pid) is in uninterruptible sleep"
        case .traced(let pid, let tracer): "pid \(pid) is traced by pid \(tracer)"
        case .thirtyTwoBit(let pid): "pid \(pid) runs a 32-bit program"
        case .seccomp(let pid): "pid \(pid) has a seccomp filter that may not be suspended (CAP_SYS_ADMIN is needed)"
        case .dispatched(let pid): "pid \(pid) has its system calls dispatched as signals"
        case .noInstruction(let pid): "pid \(pid) has no system call instruction"
        case .timedOut(let pid, let step): "pid \(pid): no answer in time: \(step)"
        case .ending(let pid): "pid \(pid) is left alone: this program ends"
        case .failed(let pid, let error): "pid \(pid): \(error)"
        }
    }
}

/// A userfaultfd made inside a running process and taken out of it.
///
/// ptrace(2) with PTRACE_SEIZE (Linux 3.4), pidfd_getfd(2) (Linux 5.6), CAP_SYS_PTRACE. One thread of the process stops
/// for about 100 µs and runs two system calls; interrupted calls of its own are restarted, those that the kernel can't
/// restart (epoll_wait, semtimedop, sigtimedwait, recv with a timeout) are made again, so nothing is noticed. Works under
/// seccomp filters, for any user, in user namespaces, on stopped tasks; not on frozen ones. An untimely SIGKILL of this
/// process within those 100 µs is the one thing that harms the target (its registers aren't given back).
public enum Injection {
    /// What came out.
    public struct Result: Sendable {
        public let userfaultfd: Userfaultfd
        /// How long the thread was stopped.
        public let stop: Duration
    }

    /// Long enough for a busy host; a stop takes 0.1 ms when nothing is wrong.
    public static let defaultLimit = Duration.seconds(1)

    /// Makes the process create a userfaultfd without any handshake (see `Userfaultfd.negotiate`).
    /// - Parameter limit: of all waits together. Up to as much again is spent on the way back if it passes.
    public static func userfaultfd(in pid: Int32, within limit: Duration = defaultLimit) throws(InjectionError) -> Result {
        let raw = try ended.withLock { ended throws(InjectionError) in
            if ended { throw .ending(pid: pid) }
            let run: Swift.Result<Raw, InjectionError>
            do throws(SystemError) {
                // A thread of its own, because ptrace is bound to one; and its end detaches whatever is still held.
                run = try Thread.run(named: "tracer") { attempts(pid, limit) }
            } catch { throw .failed(pid: pid, error) }
            return try run.get()
        }
        return Result(userfaultfd: Userfaultfd(OwnedDescriptor(taking: raw.descriptor)), stop: raw.stop)
    }

    /// Held while a process stands with our registers in it.
    private static let ended = Mutex(false)

    /// To be called before this process exits: waits for the injection that is under way, and allows no other. One that is cut off in the
    /// middle, by the end of all threads, would leave the target with our registers (seen: SIGSEGV at address 5, the descriptor
    /// that it had just made, when an interrupt rolled back while the first round attached).
    public static func end() { ended.withLock { $0 = true } }

    struct Raw: Sendable {
        var descriptor: Int32
        var stop: Duration
    }

    /// A thread inside a restartable sequence is let go and tried again: such sequences are some instructions long.
    private static func attempts(_ pid: Int32, _ limit: Duration) -> Swift.Result<Raw, InjectionError> {
        let deadline = MonotonicInstant.now + limit
        do throws(InjectionError) {
            while true {
                if let raw = try attempt(pid, deadline) { return .success(raw) }
                if deadline.remaining == .zero { throw .timedOut(pid: pid, step: "finding it outside of a restartable sequence") }
                sleepThread(.microseconds(50))
            }
        } catch { return .failure(error) }
    }

    /// - Returns: nil if the thread was inside a restartable sequence, has just started another program, or has just ended.
    private static func attempt(_ pid: Int32, _ deadline: MonotonicInstant) throws(InjectionError) -> Raw? {
        guard let target = try told(pid, { () throws(SystemError) in try ProcFS.liveThread(of: pid) }) else {
            throw .gone(pid: pid)
        }
        let status = try told(pid) { () throws(SystemError) in try ProcessStatus.of(thread: target.thread, in: pid) }
        if status.tracer != 0 { throw .traced(pid: pid, by: status.tracer) }
        if target.state == .uninterruptible { throw .uninterruptible(pid: pid) }

        // Everything that can be done before the stop.
        let pidfd = try told(pid) { () throws(SystemError) in try Pidfd(pid: pid, thread: target.thread) }
        let memory = try told(pid) { () throws(SystemError) in try RemoteMemory(thread: target.thread) }
        let instruction = try told(pid) { () throws(SystemError) in try findInstruction(target.thread, memory) }
        guard let instruction else { throw .noInstruction(pid: pid) }
        guard let tracee = try seize(pid, target.thread, filtered: status.seccomp != .disabled, deadline) else { return nil }
        let session = InjectionSession(pid: pid, tracee: tracee, instruction: instruction)
        return try session.run(pidfd)
    }

    /// - Returns: nil if the thread has ended meanwhile.
    private static func seize(_ pid: Int32, _ thread: Int32, filtered: Bool, _ deadline: MonotonicInstant) throws(InjectionError)
        -> Tracee?
    {
        let tracee = try told(pid) { () throws(SystemError) in try Tracee(thread, until: deadline) }
        // Suspending the filter keeps it from killing the process for a call that it never makes by itself.
        do {
            try tracee.seize(suspendSeccomp: true)
            return tracee
        } catch {
            if error.errno != EPERM { throw InjectionError(pid, error) }
            // EPERM is also the answer for a thread that has ended while others go on (kernel/ptrace.c, ptrace_attach).
            if (try? ProcessStat.of(thread: thread, in: pid))?.hasEnded ?? true { return nil }
            if filtered { throw .seccomp(pid: pid) }
        }
        do { try tracee.seize(suspendSeccomp: false) } catch { throw InjectionError(pid, error) }
        return tracee
    }

    /// Address of a `syscall` instruction: in [vdso] if there is one, else in any code of the process.
    private static func findInstruction(_ thread: Int32, _ memory: RemoteMemory) throws(SystemError) -> UInt64? {
        let map = try MemoryMap.of(pid: thread)
        let code = map.areas.filter {
            $0.protection.isSuperset(of: [.read, .execute]) && $0.kind != .vsyscall && $0.kind != .device
        }
        for area in code.filter({ $0.kind == .vdso }) + code.filter({ $0.kind != .vdso }) {
            let bytes = memory.bytes(at: area.start, count: Int(min(area.byteCount, 2 << 20)))
            for i in bytes.indices.dropLast() where bytes[i] == 0x0f && bytes[i + 1] == 0x05 { return area.start + UInt64(i) }
        }
        return nil
    }
}

extension InjectionError {
    init(_ pid: Int32, _ error: SystemError) {
        switch error.errno {
        case ESRCH, ENOENT: self = .gone(pid: pid)
        case ETIMEDOUT: self = .timedOut(pid: pid, step: error.call)
        default: self = .failed(pid: pid, error)
        }
    }
}

/// Runs system calls and tells their errors as this room's.
@inline(__always)
func told<R: ~Copyable>(_ pid: Int32, _ body: () throws(SystemError) -> R) throws(InjectionError) -> R {
    do { return try body() } catch { throw InjectionError(pid, error) }
}
