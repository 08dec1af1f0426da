public import Host
public import Model

/// Which memory of a process a skeleton dump leaves out: what the fault server can put back.
///
/// CRIU registers with userfaultfd, at a lazy restore, what is private, anonymous, not locked and not of huge pages
/// (criu/include/vma.h, vma_entry_can_be_lazy), whatever its images hold. The pages on which threads' stack pointers
/// lie are dumped: CRIU never treats them as lazy (criu/mem.c, is_stack).
public enum HiddenRanges {
    /// Computes the ranges of one process.
    /// - Parameters:
    ///   - map: the process's mappings, read after the freeze.
    ///   - locked: mlocked and other areas that a lazy restore doesn't take, from `SmapsSnapshot`.
    ///   - stackPointers: of all threads, after the freeze.
    ///   - files: hide private file mappings too, whose pages Martlet puts into the images (`FilePages`).
    /// - Returns: ascending ranges that don't overlap.
    public static func of(_ map: MemoryMap, locked: [Range<UInt64>], stackPointers: [UInt64], files: Bool = false)
        -> [Range<UInt64>]
    {
        let page = UInt64(pageSize)
        let stackPages = Set(stackPointers.map { $0 & ~(page - 1) }).sorted()
        var ranges: [Range<UInt64>] = []
        for area in map.areas where area.isPrivateAnonymous || files && isPlainFile(area, map) {
            if locked.contains(where: { $0.overlaps(area.start..<area.end) }) { continue }
            var start = area.start
            for stackPage in stackPages where stackPage >= area.start && stackPage < area.end {
                if start < stackPage { ranges.append(start..<stackPage) }
                start = stackPage + page
            }
            if start < area.end { ranges.append(start..<area.end) }
        }
        return ranges
    }

    /// Whether CRIU maps an area again as a plain file. What is special about others (ghost files, memfds, devices) stays its own.
    private static func isPlainFile(_ area: MemoryArea, _ map: MemoryMap) -> Bool {
        guard area.isFileData else { return false }
        let name = map.name(of: area)
        return name.hasPrefix("/") && !["/dev/", "/memfd:", "/SYSV", "/["].contains(where: name.hasPrefix)
            && !name.hasSuffix(" (deleted)")
    }

    /// What of the ranges is left when pages are taken out again: those that a dump shall have.
    /// - Parameters:
    ///   - ranges: ascending, not overlapping.
    ///   - runs: the same.
    public static func of(_ ranges: [Range<UInt64>], without runs: [PageRun]) -> [Range<UInt64>] {
        var left: [Range<UInt64>] = []
        left.reserveCapacity(ranges.count + runs.count)
        var at = 0
        for range in ranges {
            var start = range.lowerBound
            while at < runs.count, runs[at].end <= start { at += 1 }
            while at < runs.count, runs[at].start < range.upperBound {
                if start < runs[at].start { left.append(start..<runs[at].start) }
                start = max(start, runs[at].end)
                // A run may reach into the next range.
                guard runs[at].end <= range.upperBound else { break }
                at += 1
            }
            if start < range.upperBound { left.append(start..<range.upperBound) }
        }
        return left
    }

    /// The stack pointers of a frozen process's threads.
    /// - Returns: nil if one of them can't be told: then nothing of the process may be hidden.
    public static func stackPointers(of pid: Int32) throws(SystemError) -> [UInt64]? {
        var all: [UInt64] = []
        for thread in try ProcFS.threads(of: pid) {
            guard let pointer = try ThreadSystemCall.of(thread: thread, in: pid)?.stackPointer else { return nil }
            all.append(pointer)
        }
        return all
    }
}
