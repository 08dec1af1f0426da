import Glibc
import Host
public import Model

/// Whether a container's memory fits here, asked before the first page is sent.
///
/// The restored process needs as much memory again as the store, but not at the same time: the pusher punches a hole
/// into the store behind every chunk that it has put into the process. So the peak is the expected size plus slack.
public struct StoreBudget: Hashable, Sendable {
    /// What the kernel would give without swapping: MemAvailable, or less if a cgroup of this process says so.
    public var memoryAvailable: ByteCount
    /// Free space of the spill folder, nil if none is set.
    public var spillAvailable: ByteCount?

    public init(memoryAvailable: ByteCount, spillAvailable: ByteCount? = nil) {
        self.memoryAvailable = memoryAvailable
        self.spillAvailable = spillAvailable
    }

    /// Reads the host's present figures.
    /// - Parameter spillFolder: where large containers may be put; must exist.
    public init(spillFolder: String? = nil) throws(StoreError) {
        do throws(SystemError) {
            let host = try Self.memAvailable()
            memoryAvailable = Self.cgroupHeadroom().map { min(host, $0) } ?? host
            spillAvailable = try spillFolder.map { folder throws(SystemError) in try Self.free(folder) }
        } catch { throw .system(error) }
    }

    /// Slack beside the expected bytes: a twentieth for pages that change size class between the rounds and the freeze,
    /// and 64 MB for the index, buffers and the session process (together 20-40 MB in the lab). With less, a container
    /// that grows during the copy fails late instead of being refused early.
    public static func needed(for expected: ByteCount) -> ByteCount {
        ByteCount(expected.rawValue + expected.rawValue / 20) + .mebibytes(64)
    }

    /// Picks the store for a migration, memory before disk.
    /// - Parameters:
    ///   - expected: the container's memory at the source, in bytes.
    ///   - spillFolder: the folder that `spillAvailable` is about.
    /// - Throws: `StoreError.noRoom` with what is needed, what is there and what to do.
    public func kind(for expected: ByteCount, spillFolder: String? = nil) throws(StoreError) -> StoreKind {
        let needed = Self.needed(for: expected)
        if needed <= memoryAvailable { return .memory }
        if let spillFolder, let spillAvailable, needed <= spillAvailable { return .spill(spillFolder) }
        let hint =
            spillFolder == nil
            ? "free memory on this host, choose another one, or name a spill folder on a disk"
            : "free memory or disk on this host, or choose another one"
        throw .noRoom(needed: needed, memoryAvailable: memoryAvailable, spillAvailable: spillAvailable, hint: hint)
    }

    /// MemAvailable of /proc/meminfo (Linux 3.14).
    private static func memAvailable() throws(SystemError) -> ByteCount {
        let path = "/proc/meminfo"
        for line in try readSmallFile(path).split(separator: "\n") where line.hasPrefix("MemAvailable:") {
            let digits = line.drop { !$0.isNumber }.prefix { $0.isNumber }
            if let kilobytes = Int(digits) { return .kibibytes(kilobytes) }
        }
        throw SystemError(call: "read MemAvailable", subject: path, errno: ENODATA)
    }

    /// The least of memory.max - memory.current on the way from this process's cgroup (version 2) to the root, clean
    /// page cache counted as free. nil if there is no limit, or no version 2 hierarchy.
    private static func cgroupHeadroom() -> ByteCount? {
        guard let own = try? readSmallFile("/proc/self/cgroup"),
            let line = own.split(separator: "\n").first(where: { $0.hasPrefix("0::/") })
        else { return nil }
        var parts = line.dropFirst(4).split(separator: "/")
        var least: ByteCount?
        while !parts.isEmpty {
            let folder = "/sys/fs/cgroup/" + parts.joined(separator: "/")
            if let limit = number("\(folder)/memory.max"), let used = number("\(folder)/memory.current") {
                let room = ByteCount(max(0, limit - used + inactiveFile(folder)))
                least = least.map { min($0, room) } ?? room
            }
            parts.removeLast()
        }
        return least
    }

    private static func number(_ path: String) -> Int? {
        (try? readSmallFile(path)).flatMap { Int($0.prefix { $0.isNumber }) }  // "max" is no number
    }

    private static func inactiveFile(_ folder: String) -> Int {
        let lines = ((try? readSmallFile("\(folder)/memory.stat")) ?? "").split(separator: "\n")
        return lines.first { $0.hasPrefix("inactive_file ") }.flatMap { Int($0.dropFirst(14)) } ?? 0
    }

    /// Bytes that an unprivileged writer may still put there; statvfs(3).
    private static func free(_ folder: String) throws(SystemError) -> ByteCount {
        var figures = statvfs()
        try systemCall("statvfs", folder, statvfs(folder, &figures) == 0 ? 0 : -Int(errno))
        return ByteCount(
            Int(clamping: UInt64(figures.f_bavail).multipliedReportingOverflow(by: UInt64(figures.f_frsize)).partialValue))
    }

    /// Files of /proc and /sys: small, read at once.
    private static func readSmallFile(_ path: String) throws(SystemError) -> String {
        let file = try OwnedDescriptor(opening: path, flags: O_RDONLY)
        var bytes = [UInt8](repeating: 0, count: 16384)
        let count = try systemCall(
            "read", path,
            {
                let n = read(file.raw, &bytes, bytes.count)
                return n < 0 ? -Int(errno) : n
            }())
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }
}
