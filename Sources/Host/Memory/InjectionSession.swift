import CLinux
import Glibc

/// The stop itself: from PTRACE_INTERRUPT to PTRACE_DETACH. What happens in here costs the target time.
struct InjectionSession: ~Copyable {
    let pid: Int32
    let tracee: Tracee
    /// Address of a `syscall` instruction.
    let instruction: UInt64

    /// How long the way back may take beyond the deadline.
    private static let grace = Duration.milliseconds(500)
    /// O_CLOEXEC, O_NONBLOCK and UFFD_USER_MODE_ONLY: the last needs no capability in the target.
    private static let flags = UInt64(UInt32(O_CLOEXEC | O_NONBLOCK)) | 1

    /// - Returns: nil if the thread was inside a restartable sequence or has just exec'd: nothing was changed.
    borrowing func run(_ pidfd: borrowing Pidfd) throws(InjectionError) -> Injection.Raw? {
        let start = MonotonicInstant.now
        do throws(SystemError) {
            try tracee.interrupt()
            try tracee.wait(for: .event)
        } catch { throw stopFailure(error) }
        let saved: linux_registers
        do throws(SystemError) { saved = try tracee.registers() } catch { throw InjectionError(pid, error) }
        if let refusal = refusal(saved) {
            release()
            throw refusal
        }
        if !tracee.hasSystemCallInstruction(at: instruction) || tracee.isInRestartableSequence(saved.rip) {
            release()
            return nil
        }
        let result = try perform(saved, pidfd)
        return Injection.Raw(descriptor: result, stop: start.elapsed)
    }

    private borrowing func refusal(_ registers: linux_registers) -> InjectionError? {
        if registers.cs != 0x33 { return .thirtyTwoBit(pid: pid) }  // the segment of 64-bit code
        return tracee.dispatchesSystemCalls() ? .dispatched(pid: pid) : nil
    }

    /// Nothing was changed: the thread goes on as it is.
    private borrowing func release() { _ = try? tracee.detach() }

    private borrowing func stopFailure(_ error: SystemError) -> InjectionError {
        // The end of the tracer's thread detaches a thread that never stopped.
        error.errno == ETIMEDOUT ? .timedOut(pid: pid, step: "stopping thread \(tracee.thread)") : InjectionError(pid, error)
    }

    private borrowing func perform(_ saved: linux_registers, _ pidfd: borrowing Pidfd) throws(InjectionError) -> Int32 {
        let mask: UInt64
        let restored: linux_registers
        do throws(SystemError) {
            mask = try tracee.signalMask()
            try tracee.setSignalMask(.max)
            restored = repaired(saved, mask)
        } catch {
            release()
            throw InjectionError(pid, error)
        }
        // A nested function would escape with a borrow: the result is carried by hand.
        var outcome: Result<Int32, InjectionError>
        do throws(SystemError) { outcome = .success(try makeDescriptor(saved, pidfd)) } catch {
            outcome = .failure(InjectionError(pid, error))
        }
        do throws(SystemError) { try goBack(restored, mask) } catch {
            if case .success(let descriptor) = outcome { close(descriptor) }
            if case .success = outcome { outcome = .failure(InjectionError(pid, error)) }
        }
        return try outcome.get()
    }

    /// userfaultfd, pidfd_getfd, close: the two outer ones run inside the target.
    private borrowing func makeDescriptor(_ saved: linux_registers, _ pidfd: borrowing Pidfd) throws(SystemError) -> Int32 {
        let made = try call(LINUX_SYS_USERFAULTFD, InjectionSession.flags, saved)
        try check("userfaultfd", "inside pid \(pid)", made)
        let taken = linux_pidfd_getfd(pidfd.descriptor.raw, Int32(made))
        let closed: Int
        do throws(SystemError) { closed = try call(LINUX_SYS_CLOSE, UInt64(made), saved) } catch {
            if taken >= 0 { close(Int32(taken)) }
            throw error
        }
        try check("pidfd_getfd", "descriptor \(made) of pid \(pid)", taken)
        if closed < 0 {
            close(Int32(taken))
            throw SystemError(call: "close", subject: "inside pid \(pid)", errno: Int32(-closed))
        }
        return Int32(taken)
    }

    private borrowing func call(_ number: Int, _ argument: UInt64, _ saved: linux_registers) throws(SystemError) -> Int {
        var r = saved
        r.rip = instruction
        r.rax = numericCast(number)
        r.orig_rax = .max  // not inside a system call: nothing to restart
        r.rdi = argument
        try tracee.setRegisters(r)
        try tracee.resumeToSystemCall()
        try tracee.wait(for: .systemCall)  // entry
        try tracee.resumeToSystemCall()
        try tracee.wait(for: .systemCall)  // exit
        return Int(Int64(bitPattern: try tracee.registers().rax))
    }

    /// Registers and mask as they were. The registers are set in a fresh event stop: only there does the kernel look at
    /// them for a call to restart.
    private borrowing func goBack(_ registers: linux_registers, _ mask: UInt64) throws(SystemError) {
        // After a wait that timed out (frozen meanwhile) it isn't stopped. Resuming it then would race with the stop that the
        // interrupt brings about, and lose it: the thread would go on with our registers.
        let stopped = tracee.isStopped
        try tracee.interrupt()
        if stopped { try tracee.resume() }
        try tracee.wait(for: .event, within: InjectionSession.grace)
        try tracee.setRegisters(registers)
        try tracee.setSignalMask(mask)
        try tracee.detach()
    }

    /// A call that the kernel doesn't restart shows EINTR because of our stop alone, unless a signal waits: make it again.
    private borrowing func repaired(_ saved: linux_registers, _ mask: UInt64) -> linux_registers {
        guard Int64(bitPattern: saved.orig_rax) >= 0, Int64(bitPattern: saved.rax) == -Int64(EINTR) else {
            return saved
        }
        guard tracee.hasSystemCallInstruction(at: saved.rip - 2) else { return saved }
        guard let status = try? ProcessStatus.of(thread: tracee.thread, in: pid) else { return saved }
        if (status.pendingSignals | status.sharedPendingSignals) & ~mask != 0 { return saved }
        var r = saved
        r.rip -= 2
        r.rax = r.orig_rax
        r.orig_rax = .max
        return r
    }
}
