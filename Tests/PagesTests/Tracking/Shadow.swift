import Glibc
import Host
import Model
import Pages

/// Copies of pages as a destination would hold them, fed by rounds.
final class Shadow {
    private final class Space {
        var slots: [UInt64: Int] = [:]
    }
    private var spaces: [SpaceID: Space] = [:]
    private var bytes: [UInt8] = []
    private var freeSlots: [Int] = []
    private(set) var pagesRead = 0

    /// Reads and keeps what a round reported.
    func feed(_ round: Round, _ tracker: ContainerTracker) throws {
        for id in round.gone { spaces[id] = nil }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: pageSize)
        defer { buffer.deallocate() }
        for space in round.spaces {
            var batches = RunBatches(space.dirty, maximumBytes: buffer.count), batch: [PageRun] = [], vanished: [PageRun] = []
            while batches.next(into: &batch) > 0 {
                do { try space.memory.read(batch, into: buffer, vanished: &vanished) } catch {
                    guard error.errno == ESRCH else { throw error }
                    break  // the process has ended: the next round says so
                }
                let data = UnsafeRawBufferPointer(buffer)
                tracker.recordSent(space.space, batch, data)
                keep(space.space, batch, data)
            }
        }
    }

    private func keep(_ id: SpaceID, _ runs: [PageRun], _ data: UnsafeRawBufferPointer) {
        let space = spaces[id] ?? Space()
        spaces[id] = space
        var offset = 0
        for run in runs {
            for i in 0..<run.count {
                let slot = slot(space, run.start + UInt64(i * pageSize))
                bytes.withUnsafeMutableBytes {
                    $0.baseAddress!.advanced(by: slot * pageSize).copyMemory(
                        from: data.baseAddress! + offset, byteCount: pageSize)
                }
                offset += pageSize
                pagesRead += 1
            }
        }
    }

    private func slot(_ space: Space, _ address: UInt64) -> Int {
        if let slot = space.slots[address] { return slot }
        let slot = freeSlots.popLast() ?? bytes.count / pageSize
        if slot * pageSize == bytes.count { bytes.append(contentsOf: repeatElement(0, count: pageSize)) }
        space.slots[address] = slot
        return slot
    }

    /// What is wrong, in words; empty if every copy is right.
    struct Report {
        var pages = 0
        var problems: [String] = []
        mutating func add(_ text: @autoclosure () -> String) {
            if problems.count < 8 { problems.append(text()) } else if problems.count == 8 { problems.append("…") }
        }
    }

    /// Compares with the frozen processes, byte by byte, in both directions: pages that are missing or differ, and copies of
    /// pages that are gone though the tracker says they live.
    func compare(_ live: [SpacePages], _ tracker: ContainerTracker, _ scope: TrackerScope) throws -> Report {
        var report = Report()
        for space in live {
            let memory = try OwnedDescriptor(
                opening: "/proc/\(space.pid)/task/\(try ProcFS.liveThread(of: space.pid)!.thread)/mem", flags: O_RDONLY)
            let map = tracker.areas(space.space)!
            compareLive(space, memory.raw, map, &report)
            try compareRest(space, memory.raw, map, scope, &report)
        }
        return report
    }

    private func compareLive(_ space: SpacePages, _ memory: Int32, _ map: MemoryMap, _ report: inout Report) {
        let copies = spaces[space.space]
        var page = [UInt8](repeating: 0, count: pageSize)
        for run in space.runs {
            for i in 0..<run.count {
                let address = run.start + UInt64(i * pageSize)
                report.pages += 1
                let where_ = {
                    "pid \(space.pid) \(String(address, radix: 16)) \(map.area(holding: address).map { "\($0.kind) \(map.name(of: $0))" } ?? "nowhere")"
                }
                guard pread(memory, &page, pageSize, off_t(UInt(address))) == pageSize else {
                    report.add("unreadable: \(where_())")
                    continue
                }
                guard let slot = copies?.slots[address] else {
                    report.add("missing: \(where_())")
                    continue
                }
                let same = bytes.withUnsafeBytes { memcmp($0.baseAddress! + slot * pageSize, page, pageSize) == 0 }
                if !same { report.add("differs: \(where_())") }
            }
        }
    }

    /// Pages that the tracker doesn't count as live must read as zeros (or as the file does): asked of the kernel in another
    /// way, by the entries of /proc/PID/pagemap.
    private func compareRest(
        _ space: SpacePages, _ memory: Int32, _ map: MemoryMap, _ scope: TrackerScope, _ report: inout Report
    ) throws {
        var livePages = Set<UInt64>()
        for run in space.runs { for i in 0..<run.count { livePages.insert(run.start + UInt64(i * pageSize)) } }
        var candidates = Set<UInt64>()
        let entries = try PageMap(thread: try ProcFS.liveThread(of: space.pid)!.thread)
        for area in map.areas where area.kind == .anonymous || area.kind == .filePrivate && scope != .privateAnonymous {
            var runs: [PageRun] = []
            try entries.readEntries(
                area.start..<area.end, none: area.kind == .filePrivate ? [.guarded, .file] : .guarded, into: &runs)
            for run in runs { for i in 0..<run.count { candidates.insert(run.start + UInt64(i * pageSize)) } }
        }
        for address in spaces[space.space]?.slots.keys.map({ $0 }) ?? [] where map.area(holding: address)?.kind == .anonymous {
            candidates.insert(address)
        }
        var page = [UInt8](repeating: 0, count: pageSize)
        for address in candidates.subtracting(livePages) {
            let n = pread(memory, &page, pageSize, off_t(UInt(address)))
            if n == pageSize, page.contains(where: { $0 != 0 }) {
                report.add("not listed as live, but has content: pid \(space.pid) \(String(address, radix: 16))")
            }
        }
    }
}
