public import Model

/// Which pages of the arena each process of a restore has in common with others: what Preload/common-pages.c reads.
public struct CommonTable: Hashable, Sendable {
    /// A piece of the arena.
    public struct Region: Hashable, Sendable {
        /// Addresses in the processes.
        public var start: UInt64
        public var end: UInt64
        /// Of `start` in the arena.
        public var offset: UInt64
        public init(start: UInt64, end: UInt64, offset: UInt64) { (self.start, self.end, self.offset) = (start, end, offset) }
    }

    /// A private area of a process.
    public struct Area: Hashable, Sendable {
        public var start: UInt64
        public var end: UInt64
        /// Index of the region that has its first page; nil: nothing of it is in common.
        public var region: Int?
        /// All pages of the area that this process does not have in common.
        public var drops: [PageRun]
        public init(start: UInt64, end: UInt64, region: Int? = nil, drops: [PageRun] = []) {
            (self.start, self.end, self.region, self.drops) = (start, end, region, drops)
        }
    }

    /// Its address in CRIU's process.
    public var arena: UInt64
    public var regions: [Region]
    /// All private areas of each process, in address order, by its number in the images.
    public var processes: [(pid: Int32, areas: [Area])]

    public init(arena: UInt64, regions: [Region], processes: [(pid: Int32, areas: [Area])]) {
        (self.arena, self.regions, self.processes) = (arena, regions, processes)
    }

    public static func == (a: Self, b: Self) -> Bool { a.encoded() == b.encoded() }
    public func hash(into hasher: inout Hasher) { hasher.combine(encoded()) }

    /// Words of 64 bits: a head with the counts, then regions, processes, areas and dropped ranges.
    func encoded() -> [UInt8] {
        var tasks: [UInt64] = [], areas: [UInt64] = [], drops: [UInt64] = []
        for (pid, all) in processes {
            tasks += [UInt64(pid), UInt64(areas.count / 5), UInt64(all.count)]
            for area in all {
                let region = area.region.map { UInt64($0) } ?? .max
                areas += [area.start, area.end, region, UInt64(drops.count / 2), UInt64(area.drops.count)]
                for run in area.drops { drops += [run.start, run.end] }
            }
        }
        var words: [UInt64] = [
            arena, UInt64(regions.count), UInt64(processes.count), UInt64(areas.count / 5), UInt64(drops.count / 2),
        ]
        for region in regions { words += [region.start, region.end, region.offset] }
        words += tasks
        words += areas
        words += drops
        return words.withUnsafeBytes { Array($0) }
    }
}
