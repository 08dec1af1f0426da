public import Model
import Host
import Synchronization

extension PageStore {
    /// Replaces the live set of a space: the pages that exist at the freeze. Stored content stays.
    public func setLive(_ space: SpaceID, _ runs: [PageRun]) throws(StoreError) {
        forEachChunk(of: space) { $0.clear(.live, 0..<Chunk.pages) }
        try addLive(space, runs)
    }

    /// Adds to the live set, for a list that comes in several frames.
    public func addLive(_ space: SpaceID, _ runs: [PageRun]) throws(StoreError) {
        for run in runs {
            try eachChunk(space, run) { entry, pages throws(StoreError) in entry.set(.live, pages) }
        }
    }

    /// Forgets the content of pages that aren't live and gives back the memory of chunks without live pages.
    /// Call it when all live sets and all pages are in.
    public func releaseNotLive(_ space: SpaceID) {
        forEachChunk(of: space) { entry in
            var live = false
            var dropped = 0
            for index in 0..<Chunk.words {
                let word = entry.word(.live, index)
                live = live || word != 0
                for row in [ChunkEntry.Row.have, .zero] {
                    let old = entry.words[row.rawValue + index].bitwiseAnd(word, ordering: .sequentiallyConsistent).oldValue
                    if row == .have { dropped += (old & ~word).nonzeroBitCount }
                }
            }
            if dropped > 0 { core.index.header(.storedPages).add(-dropped) }
            if !live { releaseSlot(entry) }
        }
    }

    /// Forgets the content of pages, because it is void: a newer one follows after the release. Whether they are live stays.
    public func forget(_ space: SpaceID, _ run: PageRun) throws(StoreError) {
        try eachChunk(space, run) { entry, pages throws(StoreError) in
            entry.clear(.zero, pages)
            let dropped = entry.clear(.have, pages)
            if dropped > 0 { core.index.header(.storedPages).add(-dropped) }
        }
    }

    /// Forgets a space: its process called execve or exited. Its number isn't used again.
    public func drop(_ space: SpaceID) {
        forEachChunk(of: space) { entry in
            for row in [ChunkEntry.Row.live, .zero, .gone, .hot, .placed] { entry.clear(row, 0..<Chunk.pages) }
            let dropped = entry.clear(.have, 0..<Chunk.pages)
            if dropped > 0 { core.index.header(.storedPages).add(-dropped) }
            releaseSlot(entry)
        }
    }

    private func releaseSlot(_ entry: ChunkEntry) {
        guard let slot = entry.slot else { return }
        entry.setSlot(nil)
        core.giveBack(slot)
    }

    /// Marks pages that no process needs any more.
    func markGone(_ space: SpaceID, _ run: PageRun) {
        forEachKnownChunk(space, run) { entry, pages in entry.set(.gone, pages) }
    }

    /// Gives a chunk's memory back, all its pages being in the processes that need them.
    func release(_ entry: ChunkEntry) {
        entry.setReleased()  // first the flag, then the hole: nobody takes a hole for content
        guard let slot = entry.slot else { return }
        try? core.data.punch(slot)
    }

    /// The missing pages beside a page and with it, of so many before and behind it, within its chunk.
    func missingAround(_ space: SpaceID, _ address: UInt64, before: Int, behind: Int) -> PageRun {
        let page = Int(address >> 12) & (Chunk.pages - 1)
        guard let entry = find(space, address) else { return PageRun(start: address, count: 1) }
        var first = page, end = page + 1
        while first > max(0, page - before), entry.isMissing(first - 1) { first -= 1 }
        while end < min(Chunk.pages, page + 1 + behind), entry.isMissing(end) { end += 1 }
        return PageRun(start: entry.base + UInt64(first * pageSize), count: end - first)
    }

    // MARK: asking

    /// Whether the content of a page is known, zero included.
    public func has(_ space: SpaceID, _ address: UInt64) -> Bool {
        asks(space, address) { $0.has(.have, $1) || $0.has(.zero, $1) }
    }
    /// Whether a page is known to be zero.
    public func isZero(_ space: SpaceID, _ address: UInt64) -> Bool { asks(space, address) { $0.has(.zero, $1) } }
    /// Whether a page is in the announced live set.
    public func isLive(_ space: SpaceID, _ address: UInt64) -> Bool { asks(space, address) { $0.has(.live, $1) } }
    /// Whether the restored process removed a page, so that nobody needs it any more.
    public func isGone(_ space: SpaceID, _ address: UInt64) -> Bool { asks(space, address) { $0.has(.gone, $1) } }

    /// The stored content of a page: `pageSize` bytes, valid while the store lives and the page isn't dropped or landed
    /// again. nil if it isn't stored; a page known to be zero has no content.
    public func content(_ space: SpaceID, _ address: UInt64) -> UnsafeRawPointer? {
        guard let entry = find(space, address), !entry.isReleased else { return nil }
        let page = Int(address >> 12) & (Chunk.pages - 1)
        guard entry.has(.have, page), let slot = entry.slot else { return nil }
        return core.data.page(slot, page)
    }

    /// Live pages whose content isn't known and which somebody needs, in address order: to be fetched from the source.
    public func missingLive(_ space: SpaceID) -> [PageRun] {
        var runs: [PageRun] = []
        for entry in chunks(of: space) {
            for page in 0..<Chunk.pages where entry.missing(page >> 6) >> UInt64(page & 63) & 1 != 0 {
                let address = entry.base + UInt64(page * pageSize)
                if let last = runs.last, last.end == address {
                    runs[runs.count - 1].count += 1
                } else {
                    runs.append(PageRun(start: address, count: 1))
                }
            }
        }
        return runs
    }

    /// What the store knows of some spaces' pages; each list in address order.
    public struct Known: Sendable {
        /// Pages with content, those of zeros included.
        public var stored: [PageRun] = []
        /// Pages that were announced to exist.
        public var live: [PageRun] = []
    }

    /// Looks through the index once, however many spaces are asked for.
    public func known(where wanted: (SpaceID) -> Bool) -> [SpaceID: Known] {
        var entries: [SpaceID: [ChunkEntry]] = [:]
        core.index.forEach { entry in
            let space = SpaceID(UInt32(entry.key >> 36))
            if wanted(space) { entries[space, default: []].append(entry) }
        }
        return entries.mapValues { entries in
            var known = Known()
            for entry in entries.sorted(by: { $0.base < $1.base }) {
                for index in 0..<Chunk.words {
                    let base = entry.base + UInt64(index * 64 * pageSize)
                    Self.append(entry.word(.have, index) | entry.word(.zero, index), at: base, to: &known.stored)
                    Self.append(entry.word(.live, index), at: base, to: &known.live)
                }
            }
            return known
        }
    }

    private static func append(_ bits: UInt64, at base: UInt64, to runs: inout [PageRun]) {
        var left = bits
        while left != 0 {
            let first = left.trailingZeroBitCount
            let count = (~(left >> UInt64(first))).trailingZeroBitCount
            let start = base + UInt64(first * pageSize)
            if let last = runs.last, last.end == start {
                runs[runs.count - 1].count += count
            } else {
                runs.append(PageRun(start: start, count: count))
            }
            left = first + count == 64 ? 0 : left & ~((1 << UInt64(first + count)) - 1)
        }
    }

    /// Every space that has an entry, in order.
    public var spaces: [SpaceID] {
        var found: Set<SpaceID> = []
        core.index.forEach { found.insert(SpaceID(UInt32($0.key >> 36))) }
        return found.sorted()
    }

    public var statistics: StoreStatistics {
        var zero = 0, live = 0, missing = 0, chunks = 0
        core.index.forEach { entry in
            chunks += 1
            for index in 0..<Chunk.words {
                zero += entry.word(.zero, index).nonzeroBitCount
                live += entry.word(.live, index).nonzeroBitCount
                missing += entry.missing(index).nonzeroBitCount
            }
        }
        return StoreStatistics(
            stored: PageCount(core.stored.rawValue / pageSize), zero: PageCount(zero), live: PageCount(live),
            missing: PageCount(missing), chunks: chunks)
    }

    // MARK: helpers

    func find(_ space: SpaceID, _ address: UInt64) -> ChunkEntry? { core.index.find(StoreIndex.key(space, address)) }

    private func asks(_ space: SpaceID, _ address: UInt64, _ question: (ChunkEntry, Int) -> Bool) -> Bool {
        find(space, address).map { question($0, Int(address >> 12) & (Chunk.pages - 1)) } ?? false
    }

    /// Entries of a space in address order.
    func chunks(of space: SpaceID) -> [ChunkEntry] {
        var found: [(base: UInt64, entry: ChunkEntry)] = []
        forEachChunk(of: space) { found.append(($0.base, $0)) }
        return found.sorted { $0.base < $1.base }.map(\.entry)
    }

    private func forEachChunk(of space: SpaceID, _ body: (ChunkEntry) -> Void) {
        let number = UInt64(space.rawValue)
        core.index.forEach { if $0.key >> 36 == number { body($0) } }
    }

    /// Chunks of a run that have entries; a run over far more chunks than the store has costs no more than those.
    private func forEachKnownChunk(_ space: SpaceID, _ run: PageRun, _ body: (ChunkEntry, Range<Int>) -> Void) {
        func visit(_ entry: ChunkEntry) {
            let first = max(run.start, entry.base), last = min(run.end, entry.base + UInt64(Chunk.bytes))
            if first < last { body(entry, Int((first - entry.base) >> 12)..<Int((last - entry.base) >> 12)) }
        }
        let span = Int((run.end - run.start) >> Chunk.shift) + 2
        if span > core.index.chunkCount {
            forEachChunk(of: space, visit)
        } else {
            var at = run.start
            while at < run.end {
                if let entry = find(space, at) { visit(entry) }
                at = (at >> Chunk.shift + 1) << Chunk.shift
            }
        }
    }
}
