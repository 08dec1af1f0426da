import Glibc
import Host
import Model

/// What the last round finds, while everything is frozen; each in address order.
struct LastLists {
    /// Pages to send.
    var dirty: [PageRun] = []
    /// Pages that exist.
    var live: [PageRun] = []
}

/// The questions that a tracker asks of page tables. The masks are those of design/memory.md.
struct SpaceScan {
    let kernel: KernelScan
    let buffer: PageRegionBuffer

    /// Guard regions hold no content and can't be read.
    private var skipped: PageCategories { kernel.hasGuard ? .guarded : [] }

    /// PAGE_IS_FILE costs the kernel a look at each page's structure (9-12 instead of 0.75 ms/GB): asked only where pages of
    /// the file and pages of the process mix.
    private func base(_ area: MemoryArea) -> PageCategories { area.kind == .filePrivate ? [.zeroPage, .file] : .zeroPage }

    /// Pages written to since they were protected.
    /// - Parameter protecting: protects them again in the same step. Never together with the check for tracking: an EPERM
    ///   midway would lose those already protected.
    func written(_ space: TrackedSpace, _ range: Range<UInt64>, of area: MemoryArea, protecting: Bool, into runs: inout [PageRun])
        throws(SystemError)
    {
        var query = PageQuery()
        query.flags = protecting ? .protectMatching : []
        query.inverted = base(area)
        query.all = base(area).union(.written)
        // Shared: a page that was written to and dropped by MADV_DONTNEED is written, but neither present nor swapped.
        query.any = area.kind == .sharedMemory ? [] : [.present, .swapped]
        try scan(space, range, query, &runs)
    }

    /// Pages that have a content of their own.
    func populated(
        _ space: TrackedSpace, _ range: Range<UInt64>, of area: MemoryArea, protecting: Bool, into runs: inout [PageRun]
    ) throws(SystemError) {
        guard kernel.hasScan else {
            let none: PageMap.EntryBits = area.kind == .filePrivate ? [.guarded, .file] : .guarded
            return try space.pageMap.readEntries(range, none: none, into: &runs)
        }
        var query = PageQuery()
        query.flags = protecting ? .protectMatching : []
        query.inverted = base(area)
        query.all = base(area)
        query.any = [.present, .swapped]
        try scan(space, range, query, &runs)
    }

    /// Both lists of the last round in one walk. The kernel passes over pages that are there and unchanged: that costs 0.75 ms/GB,
    /// reporting each of them 3.6.
    func last(_ space: TrackedSpace, _ range: Range<UInt64>, of area: MemoryArea, into lists: inout LastLists)
        throws(SystemError)
    {
        let foreign = base(area)
        var query = PageQuery()
        query.inverted = .present
        query.any = foreign.union([.written, .present])
        query.told = foreign.union(skipped).union([.written, .present, .swapped])
        let without = foreign.union(skipped)
        var position = range.lowerBound
        try space.pageMap.scan(range, query, buffer: buffer) { pages, told in
            if told.isDisjoint(with: [.present, .swapped]) || !told.isDisjoint(with: without) {
                lists.live.join(position..<pages.lowerBound)
                position = pages.upperBound
            } else if told.contains(.written) {
                lists.dirty.join(pages)
            }
        }
        lists.live.join(position..<range.upperBound)
    }

    /// Places where a protected page of a private file mapping was dropped: the kernel leaves a marker there, which reads as
    /// swapped but not as written.
    func markers(_ space: TrackedSpace, _ range: Range<UInt64>, of area: MemoryArea, into runs: inout [PageRun])
        throws(SystemError)
    {
        var query = PageQuery()
        query.inverted = [.zeroPage, .file, .present]
        query.all = [.zeroPage, .file, .present]
        query.any = .swapped
        try scan(space, range, query, &runs)
    }

    /// Pages with the soft-dirty bit, or in areas made since it was cleared.
    func softDirty(_ space: TrackedSpace, _ range: Range<UInt64>, of area: MemoryArea, into runs: inout [PageRun])
        throws(SystemError)
    {
        let none: PageMap.EntryBits = area.kind == .filePrivate ? [.guarded, .file] : .guarded
        try space.pageMap.readEntries(range, all: .softDirty, none: none, into: &runs)
    }

    /// Whether write protection holds in an area: asked of its first page, since an area is tracked whole or not at all.
    func isTracked(_ space: TrackedSpace, _ area: MemoryArea) throws(SystemError) -> Bool {
        try space.pageMap.isTracked(area.start..<(area.start + UInt64(pageSize)), buffer: buffer)
    }

    private func scan(_ space: TrackedSpace, _ range: Range<UInt64>, _ query: PageQuery, _ runs: inout [PageRun])
        throws(SystemError)
    {
        var query = query
        query.told = skipped.union(.present)
        try space.pageMap.scan(range, query, buffer: buffer, skipping: skipped, into: &runs)
    }
}
