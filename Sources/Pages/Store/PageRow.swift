import Synchronization

/// Pages of one 2 MB piece of an address space; the unit in which the index and the data file are divided.
///
/// 2 MB is the huge page of x86-64 and what one hole punched behind the pusher gives back; a smaller chunk makes the
/// index larger, a larger one keeps memory longer.
enum Chunk {
    static let pages = 512
    static let bytes = 2 << 20
    static let shift: UInt64 = 21
    /// 64-bit words of one page bitmap.
    static let words = pages / 64

    /// Calls `body` with each word that a range of pages touches and the mask of its pages there.
    @inline(__always)
    static func eachWord(_ pages: Range<Int>, _ body: (_ word: Int, _ mask: UInt64) -> Void) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let bit = page & 63
            let count = min(64 - bit, pages.upperBound - page)
            let mask: UInt64 = count == 64 ? .max : ((1 << UInt64(count)) - 1) << UInt64(bit)
            body(page >> 6, mask)
            page += count
        }
    }
}

/// One entry of the index: seven lines of 64 bytes in shared memory.
///
/// | words | what |
/// | --- | --- |
/// | 0 | key: space number in the upper 28 bits, chunk number in the lower 36 |
/// | 1 | slot in the data file, plus 1; 0 means none |
/// | 2 | flags: 1 = released (all its pages are in the process, the data is punched out) |
/// | 8... | have, zero, live, gone, hot, placed: 8 words each, a bit a page |
struct ChunkEntry: @unchecked Sendable {
    // SAFETY: points into the shared index mapping, which outlives every user of the store; all access is atomic.
    let words: UnsafeMutablePointer<Atomic<UInt64>>
    static let wordCount = 56

    enum Row: Int { case have = 8, zero = 16, live = 24, gone = 32, hot = 40, placed = 48 }

    var key: UInt64 { words[0].load(ordering: .acquiring) }
    /// Chunk's first address.
    var base: UInt64 { (key & 0xF_FFFF_FFFF) << Chunk.shift }
    var slot: Int? {
        let value = words[1].load(ordering: .acquiring)
        return value == 0 ? nil : Int(value) - 1
    }
    func setSlot(_ slot: Int?) { words[1].store(slot.map { UInt64($0) + 1 } ?? 0, ordering: .releasing) }

    var isReleased: Bool { words[2].load(ordering: .sequentiallyConsistent) & 1 != 0 }
    func setReleased() { words[2].store(1, ordering: .sequentiallyConsistent) }

    @inline(__always) func word(_ row: Row, _ index: Int) -> UInt64 {
        words[row.rawValue + index].load(ordering: .sequentiallyConsistent)
    }
    @inline(__always) func has(_ row: Row, _ page: Int) -> Bool { word(row, page >> 6) >> UInt64(page & 63) & 1 != 0 }

    /// Sets bits and counts those that were clear.
    @discardableResult func set(_ row: Row, _ pages: Range<Int>) -> Int {
        var fresh = 0
        Chunk.eachWord(pages) { index, mask in
            let old = words[row.rawValue + index].bitwiseOr(mask, ordering: .sequentiallyConsistent).oldValue
            fresh += (mask & ~old).nonzeroBitCount
        }
        return fresh
    }

    /// Clears bits and counts those that were set.
    @discardableResult func clear(_ row: Row, _ pages: Range<Int>) -> Int {
        var gone = 0
        Chunk.eachWord(pages) { index, mask in
            let old = words[row.rawValue + index].bitwiseAnd(~mask, ordering: .sequentiallyConsistent).oldValue
            gone += (mask & old).nonzeroBitCount
        }
        return gone
    }

    /// Live pages whose content is not known and which somebody still needs.
    func missing(_ index: Int) -> UInt64 {
        if isReleased { return 0 }
        return word(.live, index) & ~(word(.have, index) | word(.zero, index) | word(.gone, index) | word(.placed, index))
    }

    /// The first stretch of missing pages that begins within a range.
    func missingRun(in pages: Range<Int>) -> Range<Int>? {
        guard let first = pages.first(where: { isMissing($0) }) else { return nil }
        var end = first + 1
        while end < pages.upperBound, isMissing(end) { end += 1 }
        return first..<end
    }

    func isMissing(_ page: Int) -> Bool { missing(page >> 6) >> UInt64(page & 63) & 1 != 0 }
    var hasMissing: Bool { (0..<Chunk.words).contains { missing($0) != 0 } }
}
