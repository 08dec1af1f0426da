public import Model

/// Whether a dump left out what it was told to leave out.
///
/// A CRIU that asks the kernel in a new way would see the hidden pages and dump them: correct, but slow. Then a later
/// migration should choose another way (`Plan.Ways`), and say so.
public struct SkeletonCheck: Hashable, Sendable {
    /// Pages in the images, all processes together.
    public var dumped: PageCount = .zero
    /// Those of them that lie in hidden ranges: 0 if hiding works.
    public var unexpected: PageCount = .zero

    public var isSkeleton: Bool { unexpected == .zero }

    /// Compares page maps with the hidden ranges.
    /// - Parameters:
    ///   - maps: by in-namespace pid (`ImageDirectory.pageMaps`).
    ///   - hidden: by the same, ascending.
    public init(maps: [Int32: PageMapImage], hidden: [Int32: [Range<UInt64>]]) {
        for (pid, map) in maps {
            let ranges = hidden[pid] ?? []
            var first = 0
            for entry in map.entries where entry.flags.contains(.present) {
                dumped += PageCount(entry.run.count)
                while first < ranges.count, ranges[first].upperBound <= entry.run.start { first += 1 }
                var index = first
                while index < ranges.count, ranges[index].lowerBound < entry.run.end {
                    let overlap = ranges[index].clamped(to: entry.run.start..<entry.run.end)
                    unexpected += PageCount(Int(overlap.upperBound - overlap.lowerBound) / pageSize)
                    index += 1
                }
            }
        }
    }
}
