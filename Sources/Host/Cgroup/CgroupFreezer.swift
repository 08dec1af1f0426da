import CLinux
import Glibc

/// Stops every process of a cgroup at once, and lets it go on.
///
/// v2: cgroup.freeze (Linux 5.2), ends at signals such as SIGKILL by itself, ptrace works. v1: the freezer controller.
/// Without either the container can't be moved.
public final class CgroupFreezer: Sendable {
    public let cgroup: Cgroup
    /// cgroup.events (v2) or freezer.state (v1), open from the start, so that the freeze itself opens nothing.
    private let state: OwnedDescriptor
    private let control: OwnedDescriptor

    /// How long one wait lasts before the state is read again. A real-time spin on cgroup.events starved the tasks being
    /// frozen (31 ms); 40 µs naps were measured best (0.1 ms for the whole freeze, design/together.md). The nap ends
    /// early when the kernel notifies the file, which it does for v2 only.
    private static let nap = Duration.microseconds(40)
    /// After this time short naps only burn a processor that the tasks need: 1 ms ones then.
    private static let patience = Duration.milliseconds(10)

    public init(_ cgroup: Cgroup) throws(SystemError) {
        self.cgroup = cgroup
        switch cgroup.version {
        case .v2:
            state = try OwnedDescriptor(opening: "\(cgroup.path)/cgroup.events", flags: O_RDONLY)
            control = try OwnedDescriptor(opening: "\(cgroup.path)/cgroup.freeze", flags: O_WRONLY)
        case .v1:
            state = try OwnedDescriptor(opening: "\(cgroup.path)/freezer.state", flags: O_RDONLY)
            control = try OwnedDescriptor(opening: "\(cgroup.path)/freezer.state", flags: O_WRONLY)
        }
    }

    public convenience init(path: String) throws(SystemError) { try self.init(Cgroup(path: path)) }

    /// Freezes and waits until every task is frozen.
    /// - Throws: ETIMEDOUT; the group is left as it is then, the caller thaws.
    public func freeze(within limit: Duration = .seconds(2)) throws(SystemError) {
        try write(cgroup.version == .v2 ? "1" : "FROZEN")
        try wait(frozen: true, within: limit)
    }

    /// Asks for the freeze without waiting, for a group in which tasks are held otherwise (CRIU's ptrace).
    public func requestFreeze() throws(SystemError) { try write(cgroup.version == .v2 ? "1" : "FROZEN") }

    /// Lets the tasks go on and waits until they may.
    public func thaw(within limit: Duration = .seconds(2)) throws(SystemError) {
        try write(cgroup.version == .v2 ? "0" : "THAWED")
        try wait(frozen: false, within: limit)
    }

    /// Whether all tasks are frozen. An empty group is, once it was asked (Linux 6.18).
    public func isFrozen() throws(SystemError) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 256)
        let n = try checkErrno("read", "\(cgroup.path) state", retrying { pread(state.raw, &buffer, buffer.count, 0) })
        return CgroupFreezer.isFrozen(buffer.span.extracting(0..<n), cgroup.version)
    }

    static func isFrozen(_ text: Span<UInt8>, _ version: Cgroup.Version) -> Bool {
        var s = ByteScanner(text)
        if version == .v1 { return s.starts(with: "FROZEN") }
        while !s.isAtEnd {
            if s.starts(with: "frozen 1") { return true }
            s.skipLine()
        }
        return false
    }

    /// Kills every process of the group and waits until it is empty.
    ///
    /// v2: cgroup.kill (Linux 5.14), which fork can't outrun. Else SIGKILL in a loop: of a thawed group for v1, where
    /// frozen tasks don't die. cgroup.kill passes over a process whose first thread has ended before the others (seen on
    /// Linux 6.18), so whatever is left after it gets a signal of its own.
    public func kill(within limit: Duration = .seconds(5)) throws(SystemError) {
        let deadline = MonotonicInstant.now + limit
        if cgroup.version == .v2 {
            do { try FileIO.writeValue("1", to: "\(cgroup.path)/cgroup.kill") } catch { if error.errno != ENOENT { throw error } }
        } else {
            try write("THAWED")
        }
        while true {
            // A zombie waits for its parent, not for us; but its other threads may live.
            let left = try cgroup.processes().filter { (try? ProcFS.liveThread(of: $0)) != nil }
            if left.isEmpty { return }
            for pid in left { Glibc.kill(pid, SIGKILL) }
            if deadline.remaining == .zero {
                throw SystemError(call: "cgroup.kill", subject: cgroup.path, errno: ETIMEDOUT, hint: "processes left: \(left)")
            }
            sleepThread(.milliseconds(1))
        }
    }

    private func write(_ value: String) throws(SystemError) {
        try FileIO.writeAll(Array(value.utf8).span.bytes, to: control.raw, name: "\(cgroup.path) freezer")
    }

    private func wait(frozen: Bool, within limit: Duration) throws(SystemError) {
        let start = MonotonicInstant.now, deadline = start + limit
        while try isFrozen() != frozen {
            let now = MonotonicInstant.now
            if now >= deadline {
                throw SystemError(
                    call: frozen ? "freeze" : "thaw", subject: cgroup.path, errno: ETIMEDOUT,
                    hint: "a task in uninterruptible sleep can't be frozen")
            }
            let nap = now - start < CgroupFreezer.patience ? CgroupFreezer.nap : .milliseconds(1)
            if cgroup.version == .v2 {
                _ = try Poll.wait(state.raw, for: .priority, until: now + nap)
            } else {
                sleepThread(nap)
                if frozen { try write("FROZEN") }  // v1 moves on from FREEZING when it is asked again
            }
        }
    }
}
