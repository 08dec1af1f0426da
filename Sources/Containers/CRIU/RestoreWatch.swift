import Glibc
import Host
import Synchronization

/// The thread of a `RestoreRunner`: turns messages, deadlines and the program's end into events.
extension RestoreRunner {
    func watch() {
        do {
            while try step() {}
        } catch {
            let wasOver = state.withLock { state in
                defer { state.phase = .over }
                return state.phase == .over
            }
            if !wasOver { events.post(.failed(error)) }
        }
    }

    /// Waits for one thing and handles it. False at the end.
    private func step() throws(CriuError) -> Bool {
        let (phase, control, deadline) = state.withLock { ($0.phase, $0.control, $0.deadline) }
        if phase == .over { return false }
        let socket = control?.descriptor ?? listener.descriptor.raw
        let ready: [Poll.Events]
        do {
            ready = try Poll.wait([(socket, .input), (child.descriptor, .input)], until: .now + Self.deadlineCheck)
        } catch { throw .system(error) }
        if !ready[0].isEmpty, phase != .going {
            if let control { return try handleMessage(of: control) }
            try acceptControl()
            return true
        }
        if !ready[1].isEmpty { return try handleEnd() }
        if let deadline, deadline.remaining == .zero {
            throw .timedOut(what: words(phase), after: limit(of: phase), log: CriuLog(path: request.criuLog))
        }
        return true
    }

    private func acceptControl() throws(CriuError) {
        do {
            guard let socket = try listener.accept(until: .now) else { return }
            let control = RestoreControl(socket)
            state.withLock { state in if state.phase != .over { state.control = control } }
        } catch { throw .system(error) }
    }

    private func handleMessage(of control: RestoreControl) throws(CriuError) -> Bool {
        switch try control.receive() {
        case nil: return try handleEnd()
        case .held(let pid, let cgroup):
            let safe = try cgroup.flatMap { path throws(CriuError) in try isAlone(pid, in: path) ? path : nil }
            state.withLock { state in
                guard state.phase == .starting else { return }
                state.phase = .held
                state.cgroup = safe
                state.criu = pid
                state.deadline = nil  // the lead decides how long this lasts
            }
            events.post(.held(cgroup: safe))
        case .common(let address): arena.withLock { $0 = .some(address) }
        case .stage(let name): events.post(.stage(name))
        case .freezing: try handleFreezing(control)
        case .waiting: becomeReady(.waiting)
        }
        return true
    }

    /// Freezing a cgroup that holds others than CRIU, the host's own in the worst case, must never happen.
    private func isAlone(_ pid: Int32, in path: String) throws(CriuError) -> Bool {
        do { return try Cgroup(path: path).processes() == [pid] } catch { throw .system(error) }
    }

    /// Waits for the freeze, which is the library's own doing: if we wrote to cgroup.freeze as well, CRIU could be
    /// stopped before its own write, and freeze itself again after `go`.
    private func handleFreezing(_ control: RestoreControl) throws(CriuError) {
        guard let cgroup = state.withLock({ $0.cgroup }) else { throw .shim(what: "it freezes a cgroup that it wasn't told") }
        do {
            let freezer = try CgroupFreezer(path: cgroup)
            let deadline = MonotonicInstant.now + Self.freezeLimit
            while try !freezer.isFrozen() {
                // The next message says that the freeze failed, or that CRIU is gone.
                if try !Poll.wait(control.descriptor, for: .input, until: .now + Self.freezeNap).isEmpty { return }
                guard deadline.remaining > .zero else {
                    throw SystemError(call: "cgroup.freeze", subject: cgroup, errno: ETIMEDOUT)
                }
            }
        } catch let error as SystemError { throw .system(error) } catch { throw .shim(what: "\(error)") }
        becomeReady(.frozen)
    }

    /// Shorter than the freeze itself takes (0.1 ms); see `CgroupFreezer`.
    private static let freezeNap = Duration.microseconds(40)
    private static let freezeLimit = Duration.seconds(5)

    private func becomeReady(_ phase: Phase) {
        let isNew = state.withLock { state in
            guard state.phase == .released else { return false }
            state.phase = phase
            state.deadline = nil
            return true
        }
        if isNew { events.post(.ready) }
    }

    /// The runtime's program, or CRIU's socket, has ended: well only behind `go`.
    private func handleEnd() throws(CriuError) -> Bool {
        let status: ExitStatus?
        do { status = try child.wait(until: .now + .seconds(10)) } catch { throw .system(error) }
        let phase = state.withLock { $0.phase }
        if phase == .over { return false }  // an abort is on its way
        guard phase == .going, status?.isSuccess == true else {
            let log = failureLog()
            throw .died(
                what: words(phase),
                status: status.map { "\(request.runtime.program): \($0)" } ?? "\(request.runtime.program) still runs", log: log)
        }
        state.withLock { $0.phase = .over }
        events.post(.finished)
        return false
    }

    /// CRIU's error lines, or if it never came that far the runtime's own.
    private func failureLog() -> CriuLog {
        let log = CriuLog(path: request.criuLog)
        return log.errors.isEmpty && log.tail.isEmpty ? CriuLog(path: request.runtimeLog) : log
    }

    private func words(_ phase: Phase) -> String {
        switch phase {
        case .starting: "start of the restore"
        case .going: "end of the restore"
        default: "restore"
        }
    }

    private func limit(of phase: Phase) -> Duration { phase == .released ? request.restoreLimit : request.startLimit }
}
