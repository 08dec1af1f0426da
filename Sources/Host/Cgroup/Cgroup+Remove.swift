import Glibc

/// Who is in a cgroup v2, as cgroup.events tells it and as poll(2) announces it (cgroup-v2.rst, "Basic Operations").
///
/// A task leaves its group at its own exit, before it waits for anything: a container whose tasks were killed while a tracer
/// holds them is `populated 0`, though its first process can't end before its zombies are reaped.
public struct CgroupPopulation: ~Copyable, Sendable {
    private let events: OwnedDescriptor
    private let path: String

    /// - Throws: ENOENT if there is no such group, or it is of v1, which doesn't tell.
    public init(of cgroup: Cgroup) throws(SystemError) {
        path = "\(cgroup.path)/cgroup.events"
        events = try OwnedDescriptor(opening: path, flags: O_RDONLY)
    }

    /// For `Poll`, with `.priority`: ready when something changed since the last look.
    public var descriptor: Int32 { events.raw }

    /// Whether nobody is in the group and those below it. A group that was removed has nobody.
    public func isEmpty() throws(SystemError) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = retrying { pread(events.raw, &buffer, buffer.count, 0) }
        if count < 0, errno == ENODEV { return true }
        let length = try checkErrno("read", path, count)
        var text = ByteScanner(buffer.span.extracting(0..<length))
        while !text.isAtEnd {
            if text.starts(with: "populated 0") { return true }
            text.skipLine()
        }
        return false
    }
}

extension Cgroup {
    /// Removes the group and those below it, which nobody lives in any more.
    ///
    /// The last task may still be on its way out (EBUSY until its exit has come as far as its group): waited for.
    /// - Throws: EBUSY if somebody is in it when the time is over.
    public func remove(within limit: Duration = .seconds(5)) throws(SystemError) {
        let deadline = MonotonicInstant.now + limit
        // Left frozen and not removed, it would hold whoever comes into it next.
        if version == .v2, exists { try? FileIO.writeValue("0", to: "\(path)/cgroup.freeze") }
        try Self.remove(path, until: deadline)
    }

    private static func remove(_ path: String, until deadline: MonotonicInstant) throws(SystemError) {
        for name in try folders(in: path) { try remove("\(path)/\(name)", until: deadline) }
        while rmdir(path) != 0 {
            let code = errno
            if code == ENOENT { return }
            guard code == EBUSY, deadline.remaining > .zero else {
                throw SystemError(call: "rmdir", subject: path, errno: code, hint: code == EBUSY ? whoIsIn(path) : nil)
            }
            try awaitChange(of: path, until: deadline)
        }
    }

    /// Until somebody left, or for a moment: not every obstacle is announced.
    private static func awaitChange(of path: String, until deadline: MonotonicInstant) throws(SystemError) {
        let soon = min(deadline, .now + .milliseconds(10))
        guard let population = try? CgroupPopulation(of: Cgroup(path: path)), (try? population.isEmpty()) == false else {
            return sleepThread(.milliseconds(1))
        }
        _ = try Poll.wait(population.descriptor, for: .priority, until: soon)
    }

    private static func whoIsIn(_ path: String) -> String {
        let all = (try? Cgroup(path: path).processes()) ?? []
        return "processes in it: \(all)"
    }
}
