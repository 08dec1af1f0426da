import CLinux
import Glibc
import Host
import Model
import Synchronization

/// The shared index of a page store: which chunk lies where, and what is known of each page.
///
/// It is a memfd of fixed layout, so that another process (the keeper) that maps it sees everything at every moment:
///
///     0        header, 8 words (see `Word`)
///     4096     buckets: UInt32 each, entry number + 1, open addressing
///     ...      free slots: UInt32 each, a stack
///     ...      entries: 448 bytes each, in the order of their creation (see `ChunkEntry`)
///
/// Readers take no lock: an entry is published by the store to its bucket, after its key. Only one process adds
/// entries at a time, under a lock of its own. A writer that is killed half-way leaves at worst an unused entry or slot.
struct StoreIndex: ~Copyable, @unchecked Sendable {
    // SAFETY: the mapping lives until deinit; words that change after creation are accessed atomically.
    private let base: UnsafeMutableRawPointer
    private let length: Int
    let descriptor: OwnedDescriptor
    let maxSlots: Int
    private let maxChunks: Int
    private let bucketMask: Int
    private let entriesOffset: Int

    enum Word: Int { case magic, version, maxChunks, maxSlots, chunkCount, nextSlot, freeCount, storedPages, limit }
    /// "MARTLETS" read as a little-endian number.
    private static let magic: UInt64 = 0x5354_454C_5452_414D
    private static let version: UInt64 = 2
    private static let entryBytes = ChunkEntry.wordCount * 8
    /// Entries are allocated this far ahead, so that touching one never meets a full host unprepared.
    private static let step = 1 << 20

    /// Makes an empty index.
    init(maxSlots: Int, limit: ByteCount) throws(SystemError) {
        let made = try systemCall("memfd_create", "martlet-index", linux_memfd_create("martlet-index", 1))
        // A chunk of zero or missing pages has an entry but no slot: leave room for as many of them.
        try self.init(OwnedDescriptor(taking: Int32(made)), maxChunks: maxSlots * 2, maxSlots: maxSlots, fresh: true)
        header(.maxChunks).store(UInt64(maxChunks))
        header(.maxSlots).store(UInt64(maxSlots))
        header(.limit).store(UInt64(limit.rawValue))
        header(.version).store(Self.version)
        header(.magic).store(Self.magic)
    }

    /// Maps an index that another process made.
    init(adopting descriptor: consuming OwnedDescriptor) throws(StoreError) {
        var head: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        let got = withUnsafeMutableBytes(of: &head) { pread(descriptor.raw, $0.baseAddress, $0.count, 0) }
        let chunks = Int(truncatingIfNeeded: head.2), slots = Int(truncatingIfNeeded: head.3)
        guard got == 32, head.0 == Self.magic, head.1 == Self.version,
            (1...(1 << 30)).contains(slots), chunks == slots * 2
        else {
            let found = "magic 0x\(String(head.0, radix: 16)), version \(head.1)"
            throw .notAStore(found: found, expected: "magic 0x\(String(Self.magic, radix: 16)), version \(Self.version)")
        }
        do throws(SystemError) {
            try self.init(descriptor, maxChunks: chunks, maxSlots: slots, fresh: false)
        } catch { throw .system(error) }
    }

    private init(_ descriptor: consuming OwnedDescriptor, maxChunks: Int, maxSlots: Int, fresh: Bool) throws(SystemError) {
        var buckets = 1024
        while buckets < maxChunks * 2 { buckets *= 2 }
        let entries = (4096 + buckets * 4 + maxSlots * 4 + 4095) & ~4095
        let length = entries + maxChunks * Self.entryBytes
        if fresh {
            try systemCall("ftruncate", "store index", Glibc.ftruncate(descriptor.raw, length) == 0 ? 0 : -Int(errno))
            try systemCall("fallocate", "store index", linux_allocate(descriptor.raw, 0, entries))
        }
        base = try mapShared(descriptor.raw, length: length, writable: true, "store index")
        self.length = length
        self.descriptor = descriptor
        self.maxSlots = maxSlots
        self.maxChunks = maxChunks
        bucketMask = buckets - 1
        entriesOffset = entries
    }

    deinit { munmap(base, length) }

    // MARK: parts

    func header(_ word: Word) -> SharedWord { SharedWord(base + word.rawValue * 8) }
    private func bucket(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        (base + 4096 + index * 4).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
    private func freeSlot(_ index: Int) -> UnsafeMutablePointer<UInt32> {
        (base + 4096 + (bucketMask + 1) * 4 + index * 4).assumingMemoryBound(to: UInt32.self)
    }
    private func entry(_ number: Int) -> ChunkEntry {
        ChunkEntry(words: (base + entriesOffset + number * Self.entryBytes).assumingMemoryBound(to: Atomic<UInt64>.self))
    }

    static func key(_ space: SpaceID, _ address: UInt64) -> UInt64 { UInt64(space.rawValue) << 36 | address >> Chunk.shift }
    private func home(_ key: UInt64) -> Int {
        // Fibonacci hashing: the upper bits of the product are well mixed for neighbouring chunks.
        Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32) & bucketMask
    }

    // MARK: entries

    var chunkCount: Int { min(Int(header(.chunkCount).load()), maxChunks) }

    /// All entries in the order of their creation.
    func forEach(_ body: (ChunkEntry) -> Void) {
        for number in 0..<chunkCount { body(entry(number)) }
    }

    /// The entry of a chunk, if there is one. Takes no lock.
    func find(_ key: UInt64) -> ChunkEntry? {
        var index = home(key)
        while true {
            let value = bucket(index).pointee.load(ordering: .acquiring)
            if value == 0 || Int(value) > maxChunks { return nil }
            let found = entry(Int(value) - 1)
            if found.key == key { return found }
            index = (index + 1) & bucketMask
        }
    }

    /// Adds the entry of a chunk that has none. Call with the store's lock held.
    func add(_ key: UInt64) throws(SystemError) -> ChunkEntry {
        let number = Int(header(.chunkCount).load())
        guard number < maxChunks else { throw SystemError(call: "add a chunk", subject: "store index", errno: ENOSPC) }
        let end = entriesOffset + (number + 1) * Self.entryBytes
        let start = number == 0 ? entriesOffset : entriesOffset + number * Self.entryBytes
        // Crossing into a new step (or the very first entry): allocate it before it is touched, else SIGBUS.
        if number == 0 || start / Self.step != end / Self.step {
            let from = number == 0 ? entriesOffset : end / Self.step * Self.step
            let upTo = min((end / Self.step + 1) * Self.step, length)
            try systemCall("fallocate", "store index", linux_allocate(descriptor.raw, from, upTo - from))
        }
        let added = entry(number)
        added.words[0].store(key, ordering: .releasing)
        header(.chunkCount).store(UInt64(number) + 1)
        var index = home(key)
        while bucket(index).pointee.load(ordering: .relaxed) != 0 { index = (index + 1) & bucketMask }
        bucket(index).pointee.store(UInt32(number) + 1, ordering: .releasing)
        return added
    }

    // MARK: slots (call with the store's lock held)

    /// A slot of the data file that nobody uses, or nil.
    func takeSlot() -> Int? {
        let free = Int(header(.freeCount).load())
        if free > 0, free <= maxSlots {
            let slot = Int(freeSlot(free - 1).pointee)
            header(.freeCount).store(UInt64(free) - 1)
            return slot
        }
        let next = Int(header(.nextSlot).load())
        guard next < maxSlots else { return nil }
        header(.nextSlot).store(UInt64(next) + 1)
        return next
    }

    /// Gives a slot back; its data must have been punched out.
    func returnSlot(_ slot: Int) {
        let free = Int(header(.freeCount).load())
        guard free < maxSlots else { return }
        freeSlot(free).pointee = UInt32(slot)
        header(.freeCount).store(UInt64(free) + 1)
    }
}

/// A 64-bit word that processes share.
struct SharedWord: @unchecked Sendable {
    // SAFETY: made only by the owners of the shared mappings, which outlive it; all access is atomic.
    private let word: UnsafeMutablePointer<Atomic<UInt64>>
    init(_ address: UnsafeMutableRawPointer) { word = address.assumingMemoryBound(to: Atomic<UInt64>.self) }
    func load() -> UInt64 { word.pointee.load(ordering: .sequentiallyConsistent) }
    func store(_ value: UInt64) { word.pointee.store(value, ordering: .sequentiallyConsistent) }
    func add(_ value: Int) {
        if value >= 0 {
            word.pointee.wrappingAdd(UInt64(value), ordering: .relaxed)
        } else {
            word.pointee.wrappingSubtract(UInt64(-value), ordering: .relaxed)
        }
    }
}
