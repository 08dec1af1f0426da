import CLinux
import Glibc

/// One thread under ptrace(2), seized: the calls, the waits, and the way back. Bound to the calling thread.
///
/// Waits are blocking with a watchdog: polling wait4 made a stop 2.4 ms long instead of 0.1.
struct Tracee: ~Copyable {
    let thread: Int32
    private let deadline: MonotonicInstant
    private let watchdog: Int
    private let progress = Progress()

    /// Signal by which the watchdog ends a wait. Its handler does nothing; children get the default back.
    private static let watchdogSignal: Int32 = 62

    /// A class, so that the calls needn't be mutating.
    private final class Progress {
        var isStopped = false
    }

    /// Whether the last wait found a stop that has not been ended since.
    var isStopped: Bool { progress.isStopped }

    enum Stop: Equatable {
        /// PTRACE_INTERRUPT or a group stop.
        case event
        /// Entry or exit of a system call.
        case systemCall
    }

    /// - Parameter deadline: of all waits together.
    init(_ thread: Int32, until deadline: MonotonicInstant) throws(SystemError) {
        self.thread = thread
        self.deadline = deadline
        watchdog = try check("timer_create", "", linux_timer_create_for_thread(linux_gettid(), Tracee.watchdogSignal))
    }

    /// Attaches without stopping.
    borrowing func seize(suspendSeccomp: Bool) throws(SystemError) {
        let options = LINUX_PTRACE_O_TRACESYSGOOD | (suspendSeccomp ? LINUX_PTRACE_O_SUSPEND_SECCOMP : 0)
        try call("PTRACE_SEIZE", LINUX_PTRACE_SEIZE, UInt(options))
        linux_timer_arm(watchdog, max(deadline.remaining.wholeNanoseconds, 1))
    }

    deinit { linux_timer_delete(watchdog) }

    @discardableResult
    private borrowing func call(_ name: StaticString, _ request: Int, _ data: UInt = 0, address: UInt = 0) throws(SystemError)
        -> Int
    {
        try check(name, "thread \(thread)", linux_ptrace(request, thread, address, data))
    }

    borrowing func interrupt() throws(SystemError) { try call("PTRACE_INTERRUPT", LINUX_PTRACE_INTERRUPT) }
    borrowing func resume(delivering signal: UInt = 0) throws(SystemError) {
        try call("PTRACE_CONT", LINUX_PTRACE_CONT, signal)
        progress.isStopped = false
    }
    borrowing func resumeToSystemCall(delivering signal: UInt = 0) throws(SystemError) {
        try call("PTRACE_SYSCALL", LINUX_PTRACE_SYSCALL, signal)
        progress.isStopped = false
    }
    borrowing func detach() throws(SystemError) { try call("PTRACE_DETACH", LINUX_PTRACE_DETACH) }

    borrowing func registers() throws(SystemError) -> linux_registers {
        var r = linux_registers()
        try check(
            "PTRACE_GETREGS", "thread \(thread)",
            withUnsafeMutablePointer(to: &r) {
                linux_ptrace(LINUX_PTRACE_GETREGS, thread, 0, UInt(bitPattern: $0))
            })
        return r
    }

    borrowing func setRegisters(_ registers: linux_registers) throws(SystemError) {
        var r = registers
        try check(
            "PTRACE_SETREGS", "thread \(thread)",
            withUnsafeMutablePointer(to: &r) {
                linux_ptrace(LINUX_PTRACE_SETREGS, thread, 0, UInt(bitPattern: $0))
            })
    }

    /// The mask that the program set (for calls with a temporary mask: the one it will have back).
    borrowing func signalMask() throws(SystemError) -> UInt64 {
        var mask: UInt64 = 0
        try check(
            "PTRACE_GETSIGMASK", "thread \(thread)",
            withUnsafeMutablePointer(to: &mask) {
                linux_ptrace(LINUX_PTRACE_GETSIGMASK, thread, 8, UInt(bitPattern: $0))
            })
        return mask
    }

    borrowing func setSignalMask(_ mask: UInt64) throws(SystemError) {
        var m = mask
        try check(
            "PTRACE_SETSIGMASK", "thread \(thread)",
            withUnsafeMutablePointer(to: &m) {
                linux_ptrace(LINUX_PTRACE_SETSIGMASK, thread, 8, UInt(bitPattern: $0))
            })
    }

    /// Waits for a stop of the kind; every other stop is passed: signals are delivered, group stops go on
    /// (the kernel takes them up again at the detach).
    /// - Throws: ETIMEDOUT, ESRCH (the thread ended).
    borrowing func wait(for wanted: Stop, within grace: Duration = .zero) throws(SystemError) {
        while true {
            let status = try waitAny(grace)
            let signal = linux_status_stop_signal(status)
            let isEvent = status >> 16 == Int32(LINUX_PTRACE_EVENT_STOP)
            let isSystemCall = signal == SIGTRAP | 0x80
            if wanted == .event && isEvent || wanted == .systemCall && isSystemCall { return }
            // A signal on its way (SIGKILL and SIGSTOP can't be held back; others before the mask was set) is delivered.
            let delivered = isEvent || isSystemCall ? 0 : UInt(signal)
            if wanted == .systemCall {
                try resumeToSystemCall(delivering: delivered)
            } else {
                try resume(delivering: delivered)
            }
        }
    }

    /// - Parameter grace: time beyond the deadline, for the way back.
    private borrowing func waitAny(_ grace: Duration) throws(SystemError) -> Int32 {
        let limit = grace == .zero ? deadline : MonotonicInstant.now + grace
        if grace != .zero { linux_timer_arm(watchdog, grace.wholeNanoseconds) }
        var status: Int32 = 0
        while true {
            let result = linux_wait_for_stop(thread, &status)
            if result == Int(thread) { break }
            if result == -Int(EINTR) {
                if limit.remaining == .zero { throw SystemError(call: "wait4", subject: "thread \(thread)", errno: ETIMEDOUT) }
                continue
            }
            throw SystemError(call: "wait4", subject: "thread \(thread)", errno: result == -Int(ECHILD) ? ESRCH : Int32(-result))
        }
        if linux_status_stopped(status) == 0 { throw SystemError(call: "wait4", subject: "thread \(thread)", errno: ESRCH) }
        progress.isStopped = true
        return status
    }

    /// Whether the thread is inside a restartable sequence (rseq(2), Linux 4.18; asked by ptrace since 5.13).
    ///
    /// Running something else there would make the kernel forget the sequence, which then goes on without protection.
    borrowing func isInRestartableSequence(_ programCounter: UInt64) -> Bool {
        var c = linux_rseq_configuration()
        let n = withUnsafeMutablePointer(to: &c) {
            linux_ptrace(
                LINUX_PTRACE_GET_RSEQ_CONFIGURATION, thread, UInt(MemoryLayout<linux_rseq_configuration>.size),
                UInt(bitPattern: $0))
        }
        guard n > 0, c.pointer != 0 else { return false }
        // struct rseq: rseq_cs at 8. struct rseq_cs: start_ip at 8, post_commit_offset at 16.
        guard let description = word(c.pointer + 8), description != 0 else { return false }
        guard let start = word(description + 8), let length = word(description + 16) else { return false }
        return programCounter &- start < length
    }

    /// Whether a `syscall` instruction is at an address of the memory that the thread has *now*: an exec may have put
    /// another program there since the instruction was found, and running into nothing would kill it.
    borrowing func hasSystemCallInstruction(at address: UInt64) -> Bool {
        var bytes: UInt16 = 0
        return read(address, &bytes) && bytes == 0x050f
    }

    private borrowing func word(_ address: UInt64) -> UInt64? {
        var value: UInt64 = 0
        return read(address, &value) ? value : nil
    }

    private borrowing func read<Value: BitwiseCopyable>(_ address: UInt64, _ value: inout Value) -> Bool {
        let size = MemoryLayout<Value>.size
        return withUnsafeMutablePointer(to: &value) {
            var local = linux_iovec(base: $0, length: size)
            var remote = linux_iovec(base: UnsafeMutableRawPointer(bitPattern: UInt(address)), length: size)
            return linux_process_vm_readv(thread, &local, 1, &remote, 1) == size
        }
    }

    /// Whether system calls of this thread may be turned into signals (syscall user dispatch; asked since Linux 6.4).
    borrowing func dispatchesSystemCalls() -> Bool {
        var c = linux_dispatch_configuration()
        let n = withUnsafeMutablePointer(to: &c) {
            linux_ptrace(
                LINUX_PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, thread, UInt(MemoryLayout<linux_dispatch_configuration>.size),
                UInt(bitPattern: $0))
        }
        return n >= 0 && c.mode != 0
    }
}
