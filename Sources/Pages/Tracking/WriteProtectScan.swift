import Glibc
import Host
import Model

/// A round of one space by write protection.
struct WriteProtectScan {
    let scan: SpaceScan
    let scope: TrackerScope

    enum Outcome { case done, spaceEnded }

    /// While the process runs: registers what is new, then reports and protects.
    func running(_ space: TrackedSpace, into runs: inout [PageRun]) throws(SystemError) -> Outcome {
        guard let userfaultfd = space.userfaultfd else {
            try everything(space, into: &runs)
            return .done
        }
        let areas = space.map.areas
        var fresh = Set<Int>(), refused = Set<Int>()
        for i in areas.indices where scope.includes(areas[i]) && areas[i].isRegistrable {
            if try !scan.isTracked(space, areas[i]) { fresh.insert(i) }
        }
        if !fresh.isEmpty {
            var registration = Registration(userfaultfd, areas)
            if registration.run() == .spaceEnded { return .spaceEnded }
            refused = registration.refused
        }
        var covered: [Range<UInt64>] = []
        space.untrackedAreas = 0
        for i in areas.indices where scope.includes(areas[i]) {
            if refused.contains(i) {
                space.untrackedAreas += 1
                try scan.populated(space, areas[i].range, of: areas[i], protecting: false, into: &runs)
            } else {
                let known = fresh.contains(i) ? [] : space.covered
                try tracked(space, areas[i], known, into: &runs)
                WriteProtectScan.append(areas[i].range, to: &covered)
            }
        }
        space.covered = covered
        return .done
    }

    /// While everything is frozen: nothing is registered or protected. What isn't tracked is reported whole.
    ///
    /// Pages to send and pages that exist are of one look at each page. khugepaged isn't frozen and turns dropped pages into pages
    /// full of zeros, except under a userfaultfd: one that is listed as existing and was not seen to be written would be taken
    /// from an old copy.
    func frozen(_ space: TrackedSpace, into lists: inout LastLists) throws(SystemError) {
        space.untrackedAreas = 0
        for area in space.map.areas where scope.includes(area) {
            // Short-lived mappers and write(2) leave no trace: shared memory is reported whole at the end.
            if space.userfaultfd != nil, area.kind != .sharedMemory, try scan.isTracked(space, area) {
                try parts(of: area.range, covered: space.covered) { range, isCovered throws(SystemError) in
                    if isCovered {
                        try scan.last(space, range, of: area, into: &lists)
                    } else {
                        try whole(space, range, of: area, into: &lists)
                    }
                }
                if area.kind == .filePrivate { try scan.markers(space, area.range, of: area, into: &lists.dirty) }
            } else {
                if space.userfaultfd != nil { space.untrackedAreas += 1 }
                try whole(space, area.range, of: area, into: &lists)
            }
        }
    }

    private func whole(_ space: TrackedSpace, _ range: Range<UInt64>, of area: MemoryArea, into lists: inout LastLists)
        throws(SystemError)
    {
        var found: [PageRun] = []
        try scan.populated(space, range, of: area, protecting: false, into: &found)
        for run in found {
            lists.dirty.join(run.start..<run.end)
            lists.live.join(run.start..<run.end)
        }
    }

    /// All populated pages in scope.
    func everything(_ space: TrackedSpace, into runs: inout [PageRun]) throws(SystemError) {
        for area in space.map.areas where scope.includes(area) {
            try scan.populated(space, area.range, of: area, protecting: false, into: &runs)
        }
    }

    /// Where the last round looked, written pages are enough. Elsewhere every populated page counts: pages that were moved
    /// there may carry protection bits of another place.
    private func tracked(_ space: TrackedSpace, _ area: MemoryArea, _ known: [Range<UInt64>], into runs: inout [PageRun])
        throws(SystemError)
    {
        try parts(of: area.range, covered: known) { range, isCovered throws(SystemError) in
            if isCovered {
                try scan.written(space, range, of: area, protecting: true, into: &runs)
            } else {
                try scan.populated(space, range, of: area, protecting: true, into: &runs)
            }
        }
    }

    /// Cuts a range into parts inside and outside of the covered ranges (in order, joined).
    private func parts(
        of range: Range<UInt64>, covered: [Range<UInt64>], _ body: (Range<UInt64>, Bool) throws(SystemError) -> Void
    ) throws(SystemError) {
        var position = range.lowerBound
        // The first that ends behind our beginning.
        var low = 0, high = covered.count
        while low < high {
            let middle = (low + high) / 2
            if covered[middle].upperBound <= position { low = middle + 1 } else { high = middle }
        }
        while position < range.upperBound {
            guard low < covered.count, covered[low].lowerBound < range.upperBound else {
                return try body(position..<range.upperBound, false)
            }
            if covered[low].lowerBound > position { try body(position..<covered[low].lowerBound, false) }
            let inside = max(position, covered[low].lowerBound)..<min(range.upperBound, covered[low].upperBound)
            try body(inside, true)
            position = inside.upperBound
            low += 1
        }
    }

    private static func append(_ range: Range<UInt64>, to ranges: inout [Range<UInt64>]) {
        if let last = ranges.last, last.upperBound == range.lowerBound {
            ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
        } else {
            ranges.append(range)
        }
    }
}
