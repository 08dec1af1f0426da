import Glibc

/// The small files of /proc that need no type of their own.
public enum ProcFS {
    /// One hierarchy's line of /proc/PID/cgroup.
    public struct CgroupMembership: Hashable, Sendable {
        /// 0 is the unified hierarchy (cgroup v2).
        public var hierarchy: Int
        public var controllers: [String]
        /// Path within the hierarchy, as seen from our cgroup namespace.
        public var path: String
        public var isUnified: Bool { hierarchy == 0 && controllers.isEmpty }
    }

    public static func parseCgroups(_ text: Span<UInt8>) -> [CgroupMembership] {
        var all: [CgroupMembership] = []
        var s = ByteScanner(text)
        while !s.isAtEnd {
            if let hierarchy = s.decimal(), s.skip(0x3a) {
                let start = s.position, end = s.lineEnd
                while s.position < end, s.peek != 0x3a { _ = s.take() }
                let controllers = s.text(start, s.position).split(separator: ",").map(String.init)
                if s.skip(0x3a) {
                    all.append(CgroupMembership(hierarchy: hierarchy, controllers: controllers, path: s.text(s.position, end)))
                }
            }
            s.skipLine()
        }
        return all
    }
    public static func cgroups(of pid: Int32) throws(SystemError) -> [CgroupMembership] {
        let bytes = try FileIO.read("/proc/\(pid)/cgroup")
        return parseCgroups(bytes.span)
    }

    /// /proc/meminfo: bytes by name (`MemAvailable`, `Shmem`; counts such as HugePages_Total as they are).
    public static func parseMemoryInfo(_ text: Span<UInt8>) -> [String: UInt64] {
        var all: [String: UInt64] = [:]
        var s = ByteScanner(text)
        while !s.isAtEnd {
            let start = s.position, end = s.lineEnd
            while s.position < end, s.peek != 0x3a { _ = s.take() }
            let name = s.text(start, s.position)
            if s.skip(0x3a) {
                s.skipBlanks()
                if let value = s.decimal(), value >= 0 {
                    s.skipBlanks()
                    all[name] = s.starts(with: "kB") ? UInt64(value) << 10 : UInt64(value)
                }
            }
            s.skipLine()
        }
        return all
    }
    public static func memoryInfo() throws(SystemError) -> [String: UInt64] {
        let bytes = try FileIO.read("/proc/meminfo")
        return parseMemoryInfo(bytes.span)
    }

    /// Numbers separated by blanks or line feeds: cgroup.procs, the children file.
    public static func parseNumbers(_ text: Span<UInt8>) -> [Int32] {
        var all: [Int32] = []
        var s = ByteScanner(text)
        while !s.isAtEnd {
            if let n = s.decimal(), let small = Int32(exactly: n) { all.append(small) } else { _ = s.take() }
        }
        return all
    }

    /// Threads of a process, in ascending order.
    public static func threads(of pid: Int32) throws(SystemError) -> [Int32] { try numbered("/proc/\(pid)/task") }
    /// Every process that we see.
    public static func processes() throws(SystemError) -> [Int32] { try numbered("/proc") }
    private static func numbered(_ path: String) throws(SystemError) -> [Int32] {
        try FileIO.list(path).compactMap { Int32($0) }.sorted()
    }

    /// Children of all of a process's threads (CONFIG_PROC_CHILDREN); exact only while the children don't run.
    public static func children(of pid: Int32) throws(SystemError) -> [Int32] {
        var all: [Int32] = []
        for thread in try threads(of: pid) {
            guard let text = try FileIO.readIfPresent("/proc/\(pid)/task/\(thread)/children") else { continue }  // just ended
            all += parseNumbers(text.span)
        }
        return all
    }

    /// Path of the program, ` (deleted)` at its end if so.
    public static func executable(of pid: Int32) throws(SystemError) -> String { try FileIO.readLink("/proc/\(pid)/exe") }

    /// Open descriptors and what they show (`/path`, `socket:[123]`, `anon_inode:[eventpoll]`).
    public static func descriptors(of pid: Int32) throws(SystemError) -> [(number: Int32, target: String)] {
        var all: [(number: Int32, target: String)] = []
        for number in try numbered("/proc/\(pid)/fd") {
            do { all.append((number, try FileIO.readLink("/proc/\(pid)/fd/\(number)"))) } catch {
                if error.errno != ENOENT { throw error }  // closed meanwhile
            }
        }
        return all
    }

    /// A thread that has memory and can act: not ended, and if possible not in uninterruptible sleep. The leader first.
    ///
    /// A leader that has called pthread_exit is a zombie while its other threads go on; its own /proc files are empty then.
    /// - Returns: nil if the whole process has ended.
    public static func liveThread(of pid: Int32) throws(SystemError) -> (thread: Int32, state: ProcessStat.State)? {
        var fallback: (Int32, ProcessStat.State)?
        let all: [Int32]
        do { all = try threads(of: pid) } catch {
            if error.errno == ENOENT || error.errno == ESRCH { return nil }
            throw error
        }
        // Numbers begin again at pid_max: the leader's needn't be the lowest.
        for thread in all.sorted(by: { $0 == pid && $1 != pid }) {
            guard let stat = try? ProcessStat.of(thread: thread, in: pid), !stat.hasEnded else { continue }
            if stat.state != .uninterruptible { return (thread, stat.state) }
            fallback = fallback ?? (thread, stat.state)
        }
        return fallback
    }
}
