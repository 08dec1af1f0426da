import Glibc
public import Host
public import Model
import Synchronization

/// The destination's pages by space and address, round after round landing in place.
///
/// For each page the store knows: *have* (content stored), *zero* (known to be zero), *live* (exists at the freeze, as
/// the source announced it), *gone* (removed by the restored process), *hot* (changed in late rounds), *placed* (came after the
/// release and went straight into its process). live without have, zero, gone or placed is *missing*: it must be fetched
/// from the source.
///
/// Data and index lie in two descriptors that another process (the keeper) can map: it sees every change at once, and
/// the death of this process loses nothing that `land` returned for.
///
/// Any number of threads may land pages at the same time, of one chunk too; only the order of two landings of the *same*
/// page is the caller's business (one stream a chunk). Reading takes no lock.
public final class PageStore: Sendable {
    let core: StoreCore
    private let ahead = SlotAhead()
    private let endingAhead = Mutex<Void>(())
    /// Someone waits for missing pages: landing calls `watcher` while this isn't 0.
    private let watched = Atomic<Int>(0)
    private let watcher = Mutex(Watcher())
    /// Takes pages that a process waits for past the store; see `setPlacer`.
    private let placer = Mutex(Placer())
    private let places = Atomic<Bool>(false)
    struct Placer { var body: (@Sendable (ChunkEntry, Range<Int>, UnsafeRawBufferPointer) -> Int)? }
    /// In a structure: a bare function in a Mutex is wrapped once more by each access, because it goes through a generic inout, and
    /// every call then walks through all wrappers. (Of 850 MB that followed a release the receivers spent three quarters so.)
    private struct Watcher { var body: (@Sendable () -> Void)? }

    /// Makes an empty store.
    /// - Parameters:
    ///   - kind: where the data lies.
    ///   - capacity: how much page content it may hold; landing more is `StoreError.full`.
    public init(kind: StoreKind, capacity: ByteCount) throws(StoreError) {
        // Slots are address space, not memory: four times the capacity, and 64 GB more, leave room for chunks that hold
        // few pages (many small processes).
        let slots = min(capacity.rawValue / Chunk.bytes * 4 + 32768, 1 << 24)
        do throws(SystemError) {
            core = StoreCore(
                index: try StoreIndex(maxSlots: slots, limit: capacity),
                data: try StoreData(kind: kind, slots: slots))
        } catch { throw .system(error) }
    }

    /// Maps a store that another process made, from duplicates of its descriptors. Both see each other's changes, but
    /// only one may land pages at a time.
    public init(adoptingData data: consuming OwnedDescriptor, index: consuming OwnedDescriptor) throws(StoreError) {
        let index = try StoreIndex(adopting: index)
        let data = try StoreData(adopting: data, slots: index.maxSlots)
        core = StoreCore(index: index, data: data)
    }

    deinit { endLandingAhead() }

    /// Gives back what was allocated ahead of the receivers; landing goes on without it.
    /// Whoever calls it while another does waits until all is given back.
    func endLandingAhead() { endingAhead.withLock { _ in for slot in ahead.stop() { core.giveBack(slot) } } }

    /// Descriptors to give to another process, borrowed: valid while the store lives.
    public var dataDescriptor: Int32 { core.data.descriptor.raw }
    public var indexDescriptor: Int32 { core.index.descriptor.raw }

    // MARK: landing

    /// Stores whole pages from `address` on, over what was there.
    /// - Parameter hot: marks them as changed in a late round, for `FaultServer.Options.hotFirst`.
    /// - Throws: `full` if the limit or the medium is reached: pages before the failing chunk are stored.
    public func land(_ space: SpaceID, address: UInt64, _ bytes: UnsafeRawBufferPointer, hot: Bool = false) throws(StoreError) {
        try validate(space, address, bytes.count)
        var done = 0
        while done < bytes.count {
            let at = address + UInt64(done)
            let first = Int(at >> 12) & (Chunk.pages - 1)
            let count = min(Chunk.pages - first, (bytes.count - done) / pageSize)
            let part = UnsafeRawBufferPointer(rebasing: bytes[done..<(done + count * pageSize)])
            try landInChunk(StoreIndex.key(space, at), first..<(first + count), part, hot)
            done += count * pageSize
        }
        notifyWatcher()
    }

    /// A medium that is full may be so only by what was allocated ahead, or by an allocation that is about to fail and to
    /// give its part back: that ends, and the pages are tried once more.
    private func landInChunk(_ key: UInt64, _ pages: Range<Int>, _ bytes: UnsafeRawBufferPointer, _ hot: Bool) throws(StoreError)
    {
        let placed = place(key, pages, bytes)
        if placed == pages.count { return }
        let pages = (pages.lowerBound + placed)..<pages.upperBound
        let bytes = UnsafeRawBufferPointer(rebasing: bytes[(placed * pageSize)...])
        do throws(StoreError) {
            try landOnce(key, pages, bytes, hot)
        } catch {
            guard case .full(_, _, _?) = error else { throw error }
            endLandingAhead()
            try landOnce(key, pages, bytes, hot)
        }
    }

    /// - Returns: how many pages, from the first on, the store needn't keep.
    private func place(_ key: UInt64, _ pages: Range<Int>, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard places.load(ordering: .acquiring), let entry = core.index.find(key) else { return 0 }
        return placer.withLock { $0.body }?(entry, pages, bytes) ?? 0
    }

    private func landOnce(_ key: UInt64, _ pages: Range<Int>, _ bytes: UnsafeRawBufferPointer, _ hot: Bool) throws(StoreError) {
        let entry = try core.entry(key)
        guard core.stored.rawValue + bytes.count <= core.limit.rawValue || allStored(entry, pages) else {
            throw .full(stored: core.stored, limit: core.limit, kernel: nil)
        }
        let slot = try core.slot(entry) { [core] in
            isInside(key) ? ahead.take { core.allocatedSlot() } : nil
        }
        do throws(SystemError) {
            try core.data.write(slot, firstPage: pages.lowerBound, bytes)
        } catch { throw core.storeError(error) }
        // Data first, then the bit: who sees `have` sees the content.
        let fresh = entry.set(.have, pages)
        entry.clear(.zero, pages)
        if hot { entry.set(.hot, pages) }
        if fresh > 0 { core.index.header(.storedPages).add(fresh) }
    }

    /// Whether a new chunk lies behind a well filled one: inside a large area, where a whole slot will be used.
    private func isInside(_ key: UInt64) -> Bool {
        guard let before = core.index.find(key - 1) else { return false }
        return (0..<Chunk.words).reduce(0) { $0 + before.word(.have, $1).nonzeroBitCount } >= Chunk.pages / 2
    }

    private func allStored(_ entry: ChunkEntry, _ pages: Range<Int>) -> Bool { pages.allSatisfy { entry.has(.have, $0) } }

    /// Marks pages as zero; content stored for them before is void.
    public func landZero(_ space: SpaceID, _ run: PageRun) throws(StoreError) {
        try eachChunk(space, run) { entry, pages throws(StoreError) in
            entry.set(.zero, pages)  // zero before have goes: a page never looks missing in between
            let dropped = entry.clear(.have, pages)
            if dropped > 0 { core.index.header(.storedPages).add(-dropped) }
        }
        notifyWatcher()
    }

    // MARK: landing watched by the fault server

    func setWatcher(_ body: (@Sendable () -> Void)?) { watcher.withLock { $0.body = body } }
    /// From now on what lands goes to `body` first, on the receivers' threads. It returns how many of the pages, from the first on, are
    /// dealt with: they went where they are needed, or nobody needs them. The rest lands as ever.
    func setPlacer(_ body: (@Sendable (ChunkEntry, Range<Int>, UnsafeRawBufferPointer) -> Int)?) {
        placer.withLock { $0.body = body }
        places.store(body != nil, ordering: .releasing)
    }
    func watch(_ change: Int) { watched.wrappingAdd(change, ordering: .sequentiallyConsistent) }
    private func notifyWatcher() {
        // Sequentially consistent on both sides: either the waiter sees the page's bit, or this sees the waiter.
        if watched.load(ordering: .sequentiallyConsistent) > 0 { watcher.withLock { $0.body }?() }
    }

    // MARK: helpers

    func validate(_ space: SpaceID, _ address: UInt64, _ byteCount: Int) throws(StoreError) {
        let (end, overflow) = address.addingReportingOverflow(UInt64(clamping: byteCount))
        guard byteCount >= 0, byteCount % pageSize == 0, address % UInt64(pageSize) == 0, !overflow, end <= 1 << 57,
            (1..<(1 << 28)).contains(space.rawValue)
        else { throw .badRun(space: space, address: address, byteCount: byteCount) }
    }

    /// Calls `body` for each chunk of a run, adding entries where there are none.
    func eachChunk(_ space: SpaceID, _ run: PageRun, _ body: (ChunkEntry, Range<Int>) throws(StoreError) -> Void)
        throws(StoreError)
    {
        let (bytes, overflow) = run.count.multipliedReportingOverflow(by: pageSize)
        try validate(space, run.start, overflow || run.count < 0 ? -1 : bytes)
        var at = run.start
        while at < run.end {
            let first = Int(at >> 12) & (Chunk.pages - 1)
            let count = min(Chunk.pages - first, Int((run.end - at) >> 12))
            try body(try core.entry(StoreIndex.key(space, at)), first..<(first + count))
            at += UInt64(count * pageSize)
        }
    }
}
