/// A page of x86-64, the only architecture that Martlet moves today.
/// The host layer refuses to start where `sysconf(_SC_PAGESIZE)` says otherwise.
public let pageSize = 4096

/// Which address space a page belongs to, within one migration.
///
/// The source numbers the spaces from 1 on. A process that calls `execve` gets a new number, because all of its
/// old pages are void. Which process a space belongs to at the end is told with the images.
public struct SpaceID: RawRepresentable, Hashable, Comparable, Sendable, Codable {
    public var rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public init(_ value: UInt32) { rawValue = value }
    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

    /// Processes' spaces are numbered below.
    private static let fileBit: UInt32 = 1 << 27
    /// Pages of a process's private file mappings travel as a space of their own: no fault server can put them back
    /// (userfaultfd takes only anonymous memory), so the destination writes them into CRIU's images.
    public var ofFiles: SpaceID { SpaceID(rawValue | Self.fileBit) }
    public var ofProcess: SpaceID { isOfFiles ? SpaceID(rawValue & ~Self.fileBit) : self }
    public var isOfFiles: Bool { !isShared && rawValue & Self.fileBit != 0 }
}

/// Neighbouring pages of one address space: the unit in which Martlet handles memory.
public struct PageRun: Hashable, Sendable {
    /// Virtual address of the first byte, a multiple of the page size.
    public var start: UInt64
    /// Number of pages, at least 1.
    public var count: Int

    public init(start: UInt64, count: Int) {
        self.start = start
        self.count = count
    }

    /// First address behind the run.
    public var end: UInt64 { start + UInt64(count * pageSize) }
    public var byteCount: Int { count * pageSize }
}
