import Host

/// A tmpfs of a container's own, such as /dev/shm, whose files travel ahead and which is in place, filled, before the restore.
///
/// CRIU would pack and unpack it with tar, frozen, at seconds for a gigabyte and 7 ms for nothing. To it the mount is an external
/// one, like a bind mount.
public struct CarriedTmpfs: Codable, Sendable, Hashable {
    /// The mount point as the container sees it.
    public var point: String
    /// What stands in the first column of its /proc/mounts.
    public var source: String
    /// Its limit in KiB; nil: the kernel's, half of the memory.
    public var sizeKiB: Int?
    /// Most files; nil: the kernel's.
    public var inodes: Int?
    /// `huge=`, nil for never.
    public var huge: HugePages?

    /// tmpfs(5), `huge`.
    public enum HugePages: String, Codable, Sendable, Hashable { case always, advise, withinSize = "within_size" }

    public init(point: String, source: String, sizeKiB: Int? = nil, inodes: Int? = nil, huge: HugePages? = nil) {
        (self.point, self.source, self.sizeKiB, self.inodes, self.huge) = (point, source, sizeKiB, inodes, huge)
    }

    /// From a process's mountinfo; mode and owners are those of the folder and travel with it.
    init(_ mount: MountInfo) {
        self.init(point: mount.mountPoint, source: mount.source)
        for option in mount.superOptions {
            let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { continue }
            switch parts[0] {
            // The kernel always shows KiB (mm/shmem.c, shmem_show_options).
            case "size": if parts[1].last == "k" { sizeKiB = Int(parts[1].dropLast()) }
            case "nr_inodes": inodes = Int(parts[1].last == "k" ? "\(parts[1].dropLast())000" : parts[1])
            case "huge": huge = HugePages(rawValue: parts[1])
            default: break
            }
        }
    }

    /// mount(2)'s data.
    /// - Parameter roomy: while it is filled: a file that is replaced is there twice for a moment.
    func options(roomy: Bool) -> String {
        var all: [String] = []
        if let sizeKiB { all.append("size=\(roomy ? 2 * sizeKiB + Self.moreKiB : sizeKiB)k") }
        if let inodes { all.append("nr_inodes=\(roomy ? inodes + Self.moreInodes : inodes)") }
        if let huge { all.append("huge=\(huge.rawValue)") }
        return all.joined(separator: ",")
    }

    private static let moreKiB = 16 << 10
    private static let moreInodes = 1000

    /// Whether a peer's word can be used: the point is a plain absolute path, and the numbers are believable.
    public var isSound: Bool {
        point.hasPrefix("/") && point.utf8.count < 4096 && !point.utf8.contains(0) && !source.utf8.contains(0)
            && source.utf8.count < 4096 && (1...(1 << 40)).contains(sizeKiB ?? 1) && (1...(1 << 40)).contains(inodes ?? 1)
    }
}

/// One that CRIU's images carry, and why.
public struct ImagedTmpfs: Codable, Sendable, Hashable {
    public var point: String
    public var why: String
    public init(point: String, why: String) { (self.point, self.why) = (point, why) }
}
