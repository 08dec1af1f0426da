public import Model

/// What the person asked for. Defaults are those of the command line.
public struct MigrationOptions: Hashable, Sendable, Codable {
    public enum Compression: String, Hashable, Sendable, Codable, CaseIterable { case auto, none, lz4, zstd }
    public enum TCP: String, Hashable, Sendable, Codable, CaseIterable {
        /// Keep open connections if the container has an address of its own that moves along, else close them.
        case auto
        case established, close
    }
    public enum Files: String, Hashable, Sendable, Codable, CaseIterable { case auto, layer, image, shared }
    public enum Tracker: String, Hashable, Sendable, Codable, CaseIterable {
        case auto
        case writeProtect = "write-protect"
        case softDirty = "soft-dirty"
        case contentHash = "content-hash"
    }
    /// How the dump is kept from copying memory (restore.md); `auto` takes the fastest that works here.
    public enum DumpWay: String, Hashable, Sendable, Codable, CaseIterable { case auto, hidden, lazy, full }
    public enum RestoreWay: String, Hashable, Sendable, Codable, CaseIterable { case auto, faultServer = "fault-server", images }

    public var method: Method = .auto
    /// Longest downtime wished for, ms. Nil: as short as rounds can make it.
    public var downtimeLimit: Int?
    /// Whether a missed `downtimeLimit` rolls back instead of freezing longer than asked.
    public var limitIsStrict = false
    /// Freeze as soon as no more than this much memory is dirty.
    public var memoryThreshold: ByteCount?
    /// Most rounds before the freeze. 30 is QEMU's and Xen's old bound; pre-copy that works ends after 3 to 6.
    public var maxRounds = 30
    /// Parallel data streams of pages; nil: by the link (`StreamCount`).
    public var streams: Int?
    /// Bytes a second for all streams together; nil: no limit.
    public var bandwidth: ByteCount?
    /// Niceness of Martlet's own threads at both ends while the container runs at the source; 0 to 19.
    public var nice = 0
    /// Whether the workload may be slowed down where rounds don't converge.
    public var autoConverge = false
    public var compression: Compression = .auto
    public var files: Files = .auto
    public var tcp: TCP = .auto
    public var keepSource = false
    public var dryRun = false
    /// Whole seconds from the start to the decision; nil: no limit.
    public var timeout: Int?
    /// How long the source tries to reach the destination again, in seconds, when the link is lost before the freeze; 0: not at
    /// all. The container runs meanwhile.
    public var retryFor = 60
    /// Whether pages may still be at the source when the container runs at the destination.
    public var allowPostCopy = true
    public var tracker: Tracker = .auto
    public var dumpWay: DumpWay = .auto
    public var restoreWay: RestoreWay = .auto
    /// Bind-mounted folders that are copied too, by their path at the source or in the container.
    public var copyVolumes: [String] = []
    /// All bind-mounted folders are copied.
    public var copyAllVolumes = false
    /// A copied volume may replace what the destination has at that path.
    public var replaceVolumes = false

    public init() {}

    /// Every contradiction and every value out of range, in words; empty if all is well.
    public func mistakes() -> [OptionError] {
        var found: [OptionError] = []
        func check(_ holds: Bool, _ option: String, _ value: String, _ why: String, _ hint: String = "") {
            if !holds { found.append(OptionError(option: option, value: value, why: why, hint: hint)) }
        }
        do { _ = try Method.parse(method.rawValue) } catch { found.append(error) }
        if let limit = downtimeLimit {
            check(limit > 0, "--downtime-limit", "\(limit)", "must be at least 1 ms")
        }
        check(
            !limitIsStrict || downtimeLimit != nil, "--strict-limit", "", "has no limit to be strict about",
            "give --downtime-limit too")
        if let threshold = memoryThreshold {
            check(threshold.rawValue >= 0, "--memory-threshold", "\(threshold.rawValue)", "can't be negative")
        }
        check((1...1000).contains(maxRounds), "--max-rounds", "\(maxRounds)", "must be 1 to 1000")
        check(streams.map { (1...64).contains($0) } ?? true, "--streams", "\(streams ?? 0)", "must be 1 to 64")
        if let bandwidth {
            check(
                bandwidth >= .kibibytes(64), "--bandwidth", "\(bandwidth.rawValue)",
                "must be at least 65536 bytes/s: less can't even carry the images")
        }
        check((0...19).contains(nice), "--nice", "\(nice)", "must be 0 to 19")
        check(
            !autoConverge || method.hasRounds && method != .hybrid, "--auto-converge", "",
            "has no rounds to help in method \(method.rawValue)", "use auto or pre-copy")
        if let timeout { check(timeout > 0, "--timeout", "\(timeout)", "must be at least 1 s") }
        check((0...86_400).contains(retryFor), "--retry-for", "\(retryFor)", "must be 0 (not at all) to 86400 s")
        for path in copyVolumes { check(path.hasPrefix("/"), "--copy-volume", path, "must be an absolute path") }
        check(
            !replaceVolumes || copyAllVolumes || !copyVolumes.isEmpty, "--replace-volumes", "", "has no volume to replace",
            "give --copy-volume PATH or --copy-volumes too")
        check(
            !method.leavesPages || allowPostCopy, "--method", method.rawValue,
            "leaves pages at the source after the release, which --no-post-copy forbids", "use pre-copy")
        let isByPageServer = method.usesPageServer
        check(
            !isByPageServer || dumpWay == .auto && restoreWay == .auto, "--method", method.rawValue,
            "has its own way to dump and to restore", "leave out --dump and --restore")
        let isFull = dumpWay == .full || restoreWay == .images
        check(
            !isFull || isByPageServer || method == .auto || !(method.hasRounds || method.leavesPages), "--method",
            method.rawValue,
            "copies memory before or after the freeze, but it is forced into the dump's images", "use stop-copy")
        check(
            isByPageServer || !(dumpWay == .full && restoreWay == .faultServer), "--restore", "fault-server",
            "serves what the dump leaves out, and --dump full leaves out nothing", "leave out one of them")
        check(
            isByPageServer || restoreWay != .images || dumpWay == .auto || dumpWay == .full, "--restore", "images",
            "needs all memory in the images, but --dump \(dumpWay.rawValue) leaves it out", "leave out one of them")
        return found
    }
}
