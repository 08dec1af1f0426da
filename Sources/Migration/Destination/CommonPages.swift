import Containers
import Glibc
import Host
import Model
import Pages
import Plan
import Synchronization

/// Pages that forked processes have in common, so that they stay one page (copy-on-write).
///
/// While the restore is held and the container runs, pages of equal content at equal addresses are put once into memory of the
/// held CRIU, of which every process of the restore is a child (Preload/common-pages.c). In the freeze only a table is written: which of them
/// each process has. A page that landed since is not shared; the fault server fills what is not there.
final class CommonPages: Sendable {
    private let store: PageStore
    private let areas: Monitor<[CommonArea]?>
    private let state = Mutex(State())

    private struct State {
        /// Nil: nothing is compared yet, and what lands is no news.
        var changed: [SpaceID: [PageRun]]?
        var built: Built?
    }

    private struct Built {
        var arena: UInt64
        var regions: [CommonTable.Region]
        /// Of each region: its area, and the pages that are in the arena.
        var parts: [(area: CommonArea, filled: [PageRun])]
        /// What of them each space has; in address order.
        var equal: [SpaceID: [PageRun]]
    }

    /// The most that is put in place. Each task that CRIU forks gets a copy of the page tables, in the freeze: 85 ms for 1 GB and two.
    private static let mostPages = (1 << 30) / pageSize
    /// A mapping may have grown downwards by so much since it was described.
    private static let slack: UInt64 = 4 << 20
    /// So many pages of processes that are new are compared in the freeze.
    private static let mostComparedFrozen = 16384
    /// The source tells of the areas before it asks for the restore, over the same connection.
    private static let patience = Duration.seconds(2)

    init(store: PageStore, areas: Monitor<[CommonArea]?>) { (self.store, self.areas) = (store, areas) }

    /// Pages landed, or are void.
    func landed(_ space: SpaceID, _ run: PageRun) {
        state.withLock { state in
            guard state.changed != nil else { return }
            state.changed![space, default: []].append(run)
        }
    }

    // MARK: - While the container runs

    /// Compares what is there, and fills the arena. Without one nothing is shared, and nothing else is different.
    func build(_ runner: RestoreRunner) throws {
        guard let areas = areas.wait(until: .now + Self.patience, { $0 }), !areas.isEmpty else { return }
        try Self.check(areas)
        state.withLock { $0.changed = [:] }
        let members = Set(areas.flatMap(\.spaces))
        let known = store.known { members.contains($0) }
        var comparison = Comparison(store: store)
        // The store keeps its pages until they are in their processes: these are there twice for a moment.
        let room = try StoreBudget().memoryAvailable.rawValue / 2 / pageSize
        var left = min(Self.mostPages, room)
        var parts: [(area: CommonArea, filled: [PageRun])] = []
        for area in areas {
            let filled = comparison.compare(area, known.mapValues(\.stored), most: left)
            if filled.isEmpty { continue }
            left -= filled.reduce(0) { $0 + $1.count }
            parts.append((area, filled))
        }
        var offset: UInt64 = 0
        let regions = parts.map { part in
            let slack = part.area.end - part.area.start >= Self.slack ? min(Self.slack, part.area.start) : 0
            // What is mapped where it goes grows to the area's end.
            let end = part.filled.last?.end ?? part.area.end
            let region = CommonTable.Region(start: part.area.start - slack, end: end, offset: offset)
            offset += region.end - region.start
            return region
        }
        guard !regions.isEmpty, let arena = try runner.mapCommon(bytes: offset) else { return }
        let memory = try OwnedDescriptor(opening: "/proc/\(arena.pid)/mem", flags: O_WRONLY)
        for (region, part) in zip(regions, parts) {
            try fill(memory, arena.address &+ region.offset &- region.start, part.area.spaces[0], part.filled)
        }
        let equal = comparison.equal
        state.withLock { $0.built = Built(arena: arena.address, regions: regions, parts: parts, equal: equal) }
    }

    /// Lists of pages are in address order here.
    private static func check(_ areas: [CommonArea]) throws(TransferProblem) {
        var last: UInt64 = 0
        for area in areas {
            let isAligned = (area.start | area.end) % UInt64(pageSize) == 0
            guard isAligned, area.start >= last, area.start < area.end, area.end <= 1 << 47, area.spaces.count > 1 else {
                throw TransferProblem("memory in common at 0x\(String(area.start, radix: 16)) that can't be")
            }
            last = area.end
        }
    }

    /// - Parameter shift: from an address in the processes to that in the arena.
    private func fill(_ memory: borrowing OwnedDescriptor, _ shift: UInt64, _ space: SpaceID, _ runs: [PageRun])
        throws(SystemError)
    {
        for run in runs {
            for index in 0..<run.count {
                let address = run.start + UInt64(index * pageSize)
                // One that became zeros meanwhile has landed: it will be dropped.
                guard let content = store.content(space, address) else { continue }
                guard pwrite(memory.raw, content, pageSize, off_t(bitPattern: UInt(address &+ shift))) == pageSize else {
                    throw SystemError(call: "write", subject: "memory of the held restore", errno: errno)
                }
            }
        }
    }

    // MARK: - In the freeze

    /// All has landed: tells the restore which pages each process has in common.
    /// - Returns: pages that some process has from another one.
    func complete(_ spaces: [Shipped.Space], in directory: ImageDirectory, _ shim: CriuShim) throws -> Int {
        let (built, changed) = state.withLock { ($0.built, $0.changed ?? [:]) }
        guard let built else { return 0 }
        let changes = changed.mapValues { runs in RunList.sorted(runs) }
        // They may have come while they were compared or put in place: nobody can tell what is there.
        let unsure = built.parts.flatMap { part in
            RunList.of(changes[part.area.spaces[0]] ?? [], within: [part.area.start..<part.area.end])
        }
        let wanted = Set(spaces.map(\.space))
        let known = store.known { wanted.contains($0) }
        var processes: [(pid: Int32, areas: [CommonTable.Area])] = []
        var left = Self.mostComparedFrozen
        var shared = 0
        for space in spaces {
            guard let own = known[space.space], let image = try? directory.memory(of: space.pid) else { continue }
            let equal = built.equal[space.space] ?? compareNew(own, space.space, built, changes, &left)
            let there = RunList.common(RunList.common(equal, own.stored), own.live)
            let keep = RunList.of(RunList.of(there, without: changes[space.space] ?? []), without: unsure)
            if keep.isEmpty { continue }
            shared += keep.reduce(0) { $0 + $1.count }
            processes.append((space.pid, image.privateAreas.map { table($0, keep, built) }))
        }
        try shim.give(CommonTable(arena: built.arena, regions: built.regions, processes: processes))
        return shared
    }

    private func table(_ area: MemoryImage.Area, _ keep: [PageRun], _ built: Built) -> CommonTable.Area {
        var entry = CommonTable.Area(start: area.start, end: area.end)
        guard area.isPlain, let index = region(of: area, built) else { return entry }
        let kept = RunList.of(keep, within: [area.start..<area.end])
        if kept.isEmpty { return entry }
        // All others, also those that are not in the arena: what comes from the parent may have pages of CRIU's images.
        let whole = PageRun(start: area.start, count: Int(area.end - area.start) / pageSize)
        (entry.region, entry.drops) = (index, RunList.of([whole], without: kept))
        return entry
    }

    /// The region with an area's first page.
    private func region(of area: MemoryImage.Area, _ built: Built) -> Int? {
        built.parts.indices.first { index in
            let region = built.regions[index], whole = built.parts[index].area
            return region.start <= area.start && area.start < region.end && area.end > whole.start
        }
    }

    /// A process that came after the comparison: most were forked from one that was there.
    private func compareNew(
        _ own: PageStore.Known, _ space: SpaceID, _ built: Built, _ changes: [SpaceID: [PageRun]], _ left: inout Int
    ) -> [PageRun] {
        var comparison = Comparison(store: store)
        for part in built.parts {
            let first = part.area.spaces[0]
            let still = RunList.of(part.filled, without: changes[first] ?? [])
            let candidates = RunList.common(still, own.stored)
            left -= candidates.reduce(0) { $0 + $1.count }
            if left < 0 { break }
            comparison.compare(space, with: first, candidates)
        }
        return comparison.equal[space] ?? []
    }

    /// The restore has ended.
    func forget() { state.withLock { $0 = State() } }
}

/// Which pages of address spaces have the same content.
private struct Comparison {
    let store: PageStore
    /// In address order, if asked in it.
    var equal: [SpaceID: [PageRun]] = [:]

    init(store: PageStore) { self.store = store }

    /// Compares the first space of an area with all others.
    /// - Returns: its pages that at least one other has too.
    mutating func compare(_ area: CommonArea, _ stored: [SpaceID: [PageRun]], most: Int) -> [PageRun] {
        let range = area.start..<area.end
        let first = area.spaces[0]
        var left = most
        let own = RunList.of(stored[first] ?? [], within: [range]).compactMap { run -> PageRun? in
            let count = min(run.count, left)
            left -= count
            return count > 0 ? PageRun(start: run.start, count: count) : nil
        }
        var all: [PageRun] = []
        for space in area.spaces.dropFirst() {
            let others = RunList.of(stored[space] ?? [], within: [range])
            all += compare(space, with: first, RunList.common(own, others))
        }
        let filled = RunList.sorted(all)
        equal[first, default: []] += filled
        return filled
    }

    /// Compares two spaces where both have pages.
    @discardableResult
    mutating func compare(_ space: SpaceID, with first: SpaceID, _ runs: [PageRun]) -> [PageRun] {
        var same: [PageRun] = []
        for run in runs {
            for index in 0..<run.count {
                let address = run.start + UInt64(index * pageSize)
                guard let one = store.content(first, address), let other = store.content(space, address),
                    memcmp(one, other, pageSize) == 0
                else { continue }
                if let last = same.last, last.end == address {
                    same[same.count - 1].count += 1
                } else {
                    same.append(PageRun(start: address, count: 1))
                }
            }
        }
        equal[space, default: []] += same
        return same
    }
}
