/// Pages that a process removed (MADV_DONTNEED, munmap) since its restore: the store's content for them is void.
///
/// Allocators give pages back one by one and in any order, so a chunk keeps a bitmap; whole large ranges keep their
/// bounds only, so that unmapping a reservation of 100 GB costs nothing.
struct GoneSet: Equatable {
    /// Whole chunks from which on a range is kept by its bounds: 64 are 128 MB, below that 4 KB of bitmaps.
    private static let largeRange: UInt64 = 64

    private var bitmaps: [UInt64: Bitmap] = [:]
    private var large: [Range<UInt64>] = []  // chunk numbers, disjoint; few

    struct Bitmap: Equatable {
        var words: SIMD8<UInt64> = .zero
    }

    /// Removes [start, end), page-aligned addresses.
    mutating func insert(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        let firstWhole = (range.lowerBound + UInt64(Chunk.bytes) - 1) >> Chunk.shift
        let endWhole = range.upperBound >> Chunk.shift
        if endWhole > firstWhole, endWhole - firstWhole >= Self.largeRange {
            insertSmall(range.lowerBound..<(firstWhole << Chunk.shift))
            insertSmall((endWhole << Chunk.shift)..<range.upperBound)
            insertLarge(firstWhole..<endWhole)
        } else {
            insertSmall(range)
        }
    }

    private mutating func insertSmall(_ range: Range<UInt64>) {
        var at = range.lowerBound
        while at < range.upperBound {
            let chunk = at >> Chunk.shift
            let end = min(range.upperBound, (chunk + 1) << Chunk.shift)
            let first = Int(at >> 12) & (Chunk.pages - 1)
            let count = Int((end - at) >> 12)
            Chunk.eachWord(first..<(first + count)) { bitmaps[chunk, default: Bitmap()].words[$0] |= $1 }
            at = end
        }
    }

    private mutating func insertLarge(_ range: Range<UInt64>) {
        var merged = range
        large.removeAll { old in
            guard old.lowerBound <= merged.upperBound, merged.lowerBound <= old.upperBound else { return false }
            merged = min(old.lowerBound, merged.lowerBound)..<max(old.upperBound, merged.upperBound)
            return true
        }
        large.append(merged)
    }

    func contains(_ address: UInt64) -> Bool {
        word(address >> Chunk.shift, Int(address >> 12) >> 6 & 7) >> (address >> 12 & 63) & 1 != 0
    }

    /// 64 pages of a chunk at once.
    func word(_ chunk: UInt64, _ index: Int) -> UInt64 {
        if large.contains(where: { $0.contains(chunk) }) { return .max }
        return bitmaps[chunk]?.words[index] ?? 0
    }
}
