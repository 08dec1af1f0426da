/// How a container's memory gets past CRIU: what `auto` became, told to both hosts.
public struct Ways: Hashable, Sendable, Codable {
    /// How a dump leaves out the memory that Martlet carries itself.
    public enum Dump: String, Hashable, Sendable, Codable, CaseIterable {
        /// Martlet's library hides the pages from CRIU: 20 to 70 ms at 3 GB (restore.md).
        case hidden
        /// CRIU's own lazy dump: it keeps the pages in pipes for a page server that Martlet never lets it start
        /// (docs/decisions/0021). 300 ms at 3 GB.
        case lazy
        /// Nothing is left out: all memory goes through the images, 0.7 s/GB, and all of it in the freeze.
        case full
        /// CRIU sends the pages to its own page server at the destination while it dumps; the rest goes through the images.
        /// Without rounds these are all pages, with rounds those that the last one left.
        case pageServer = "page-server"
    }

    /// How a restore gets its anonymous memory.
    public enum Restore: String, Hashable, Sendable, Codable, CaseIterable {
        /// From Martlet's fault server, while it runs.
        case faultServer = "fault-server"
        /// From the images, before it runs.
        case images
    }

    /// How dirty pages are found.
    public enum Tracker: String, Hashable, Sendable, Codable, CaseIterable {
        case writeProtect = "write-protect"
        case softDirty = "soft-dirty"
        case contentHash = "content-hash"
    }

    public var dump: Dump
    public var restore: Restore
    /// Nil where nothing is tracked: memory is in the images.
    public var tracker: Tracker?

    public init(dump: Dump, restore: Restore, tracker: Tracker?) {
        (self.dump, self.restore, self.tracker) = (dump, restore, tracker)
    }

    /// Whether memory travels on Martlet's own streams and is filled in behind the running container.
    public var isLazy: Bool { restore == .faultServer }

    /// Whether some memory travels in rounds and the rest through CRIU's page server: the last pages are CRIU's to send.
    public var leavesRestToDump: Bool { dump == .pageServer && isLazy }

    /// Whether pages of private file mappings travel on Martlet's streams too, and not by the dump.
    public var carriesFilePages: Bool { dump == .hidden && isLazy && tracker != nil }

    /// Whether a restore finds all memory in its images' folder.
    public var fillsImages: Bool { restore == .images }

    /// For people, in one sentence.
    public var words: String {
        var text = "dump: \(dump.words); restore: \(restore.words)"
        if let tracker { text += "; dirty pages: \(tracker.words)" }
        return text
    }
}

extension Ways.Dump {
    public var words: String {
        switch self {
        case .hidden: "without memory, which is hidden from CRIU"
        case .lazy: "without memory, by CRIU's lazy pages"
        case .full: "with all memory in CRIU's images"
        case .pageServer: "with its memory sent to CRIU's page server"
        }
    }
}

extension Ways.Restore {
    public var words: String {
        switch self {
        case .faultServer: "memory filled in by Martlet's fault server"
        case .images: "memory read from the images"
        }
    }
}

extension Ways.Tracker {
    public var words: String {
        switch self {
        case .writeProtect: "by write protection (userfaultfd)"
        case .softDirty: "by soft-dirty bits"
        case .contentHash: "by hashing every page in each round"
        }
    }
}

/// Something that a host's CRIU or kernel may lack, and without which another way is gone.
public enum Ability: String, Hashable, Sendable, Codable, CaseIterable, CodingKeyRepresentable {
    /// Martlet's library gets in front of CRIU's calls: pages are hidden, and a restore is held before its tasks run.
    case library
    /// CRIU asks for pages in the way that the library knows.
    case hiding
    /// CRIU's lazy restore.
    case lazyPages = "lazy-pages"
    /// userfaultfd in the kernel, with the events that a restored process's fork and unmap need.
    case userfaultfd
    /// userfaultfd with asynchronous write protection, and PAGEMAP_SCAN.
    case writeProtect = "write-protect"
    case softDirty = "soft-dirty"
}
