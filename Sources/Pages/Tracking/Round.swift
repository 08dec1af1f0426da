public import Host
public import Model

/// Which memory is tracked.
public enum TrackerScope: Sendable {
    /// Private memory without a file: what a migration copies ahead.
    case privateAnonymous
    /// Besides it pages of private file mappings that the process made its own by writing, but none that can be executed: whoever
    /// injects calls (CRIU, and this tracker) writes instructions there for a moment.
    case privateData
    /// The same with those that can be executed.
    case privateMemory
    /// Besides those shared memory, as far as page tables tell: written pages of each mapper. Not seen: write(2) to a memfd,
    /// punched holes, mappers that come and go between rounds. So the final round reports every present page.
    case all
}

/// What a round found in one address space.
public struct SpaceRound: Sendable {
    public let space: SpaceID
    /// The process that has this memory (one of them, if several share it).
    public let pid: Int32
    /// By which the runs are read.
    public let memory: RemoteMemory
    /// Pages to read now: changed since they were last reported, or not tracked. In address order, not overlapping.
    public let dirty: [PageRun]
    /// The first round of this space.
    public let isNew: Bool
    /// Why the process isn't tracked and all of its pages are reported in each round; nil if it is.
    public let untracked: String?
    /// Areas that can't be tracked, although the process can.
    public let untrackedAreas: Int
    /// What other hardware or kernel threads may write without being seen.
    public let hazards: Hazards

    public struct Hazards: OptionSet, Hashable, Sendable {
        public var rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// Descriptors with O_DIRECT or AIO: the pages of the round before are reported again.
        public static let directIO = Hazards(rawValue: 1)
        /// io_uring: buffers registered there can't be tracked (and CRIU refuses such a process).
        public static let ioUring = Hazards(rawValue: 2)
    }

    public var pageCount: PageCount { PageCount(dirty.reduce(0) { $0 + $1.count }) }
}

/// What a round found.
public struct Round: Sendable {
    /// From 0 on.
    public let number: Int
    public let isFinal: Bool
    public let spaces: [SpaceRound]
    /// Spaces that ended since the last round: exited, or replaced by exec. All copies of their pages are void.
    public let gone: [SpaceID]
    /// The longest stop of a thread for attaching; zero if nothing was attached.
    public let longestStop: Duration
    /// How long the scan took, attaching to new processes included.
    public let duration: Duration

    public var pageCount: PageCount { PageCount(spaces.reduce(0) { $0 + $1.pageCount.rawValue }) }
}

/// The pages of one address space that exist.
public struct SpacePages: Sendable {
    public let space: SpaceID
    public let pid: Int32
    /// In address order, not overlapping.
    public let runs: [PageRun]
}

/// Lists of runs.
public enum RunList {
    /// Puts runs into address order and joins what touches or overlaps.
    static func normalize(_ runs: inout [PageRun]) {
        runs.sort { $0.start < $1.start }
        var out = 0
        for i in runs.indices {
            if out > 0, runs[i].start <= runs[out - 1].end {
                let end = max(runs[out - 1].end, runs[i].end)
                runs[out - 1].count = Int((end - runs[out - 1].start) / UInt64(pageSize))
            } else {
                runs[out] = runs[i]
                out += 1
            }
        }
        runs.removeLast(runs.count - out)
    }

    /// What is left of a list when another one's pages are taken out. Both in address order without overlap.
    public static func of(_ runs: [PageRun], without others: [PageRun]) -> [PageRun] {
        guard !others.isEmpty else { return runs }
        var left: [PageRun] = []
        left.reserveCapacity(runs.count + others.count)
        func add(_ start: UInt64, _ end: UInt64) {
            if start < end { left.append(PageRun(start: start, count: Int(end - start) / pageSize)) }
        }
        var at = 0
        for run in runs {
            var start = run.start
            while at < others.count, others[at].end <= start { at += 1 }
            while at < others.count, others[at].start < run.end {
                add(start, others[at].start)
                start = max(start, others[at].end)
                // One may reach into the next run.
                guard others[at].end <= run.end else { break }
                at += 1
            }
            add(start, run.end)
        }
        return left
    }

    /// What of a list lies in the ranges. Both in address order without overlap.
    public static func of(_ runs: [PageRun], within ranges: [Range<UInt64>]) -> [PageRun] {
        var inside: [PageRun] = []
        var at = 0
        for run in runs {
            while at < ranges.count, ranges[at].upperBound <= run.start { at += 1 }
            var index = at
            while index < ranges.count, ranges[index].lowerBound < run.end {
                let part = ranges[index].clamped(to: run.start..<run.end)
                inside.append(PageRun(start: part.lowerBound, count: Int(part.upperBound - part.lowerBound) / pageSize))
                index += 1
            }
        }
        return inside
    }

    /// In address order, and what touches or overlaps joined.
    public static func sorted(_ runs: [PageRun]) -> [PageRun] {
        var sorted = runs
        normalize(&sorted)
        return sorted
    }

    /// What two lists have in common. Both in address order without overlap.
    public static func common(_ runs: [PageRun], _ others: [PageRun]) -> [PageRun] {
        of(runs, within: others.map { $0.start..<$0.end })
    }

    /// Whether runs are in address order without overlap.
    static func isNormal(_ runs: [PageRun]) -> Bool {
        for i in runs.indices.dropFirst() where runs[i].start < runs[i - 1].end { return false }
        return true
    }
}
