import CLinux
import Glibc
import Host
import Model

/// The tracker's state and the order of a round. Called with the tracker's lock held.
final class TrackerCore {
    let kind: TrackerKind
    let scope: TrackerScope
    let scan: SpaceScan
    let processes: @Sendable () throws(SystemError) -> [Int32]

    var spaces: [TrackedSpace] = []  // by id
    private var nextID: UInt32 = 1
    private var number = 0
    private var gone: [SpaceID] = []
    var text = ReadBuffer(capacity: 64 << 10)
    private var longestStop = Duration.zero
    var isDetached = false

    init(
        kind: TrackerKind, scope: TrackerScope, kernel: KernelScan,
        processes: @escaping @Sendable () throws(SystemError) -> [Int32]
    ) {
        self.kind = kind
        self.scope = scope
        self.processes = processes
        scan = SpaceScan(kernel: kernel, buffer: PageRegionBuffer())
    }

    func space(_ id: SpaceID) -> TrackedSpace? { spaces.first { $0.id == id } }

    func round(frozen: Bool) throws(TrackerError) -> Round {
        let start = MonotonicInstant.now
        gone = []
        longestStop = .zero
        try follow()
        spareSharing()
        let found = try scanAll(frozen: frozen)
        defer { number += 1 }
        return Round(
            number: number, isFinal: frozen, spaces: found, gone: gone, longestStop: longestStop, duration: start.elapsed)
    }

    // MARK: Who is there

    /// Brings the list of spaces up to date: ended ones out, new ones in.
    private func follow() throws(TrackerError) {
        let present = try listProcesses()
        for space in spaces {
            guard present[space.pid]?.startTime == space.startTime, isAlive(space) else {
                drop(space)
                continue
            }
            space.sharers.removeAll { present[$0.pid]?.startTime != $0.startTime || !shareMemory(space.pid, $0.pid) }
        }
        var known = Set(spaces.map(\.key))
        for space in spaces { known.formUnion(space.sharers) }
        for process in present.values.sorted(by: { $0.pid < $1.pid }) where !known.contains(process.key) {
            try add(process)
        }
    }

    /// Reading must not give forked processes pages of their own.
    private func spareSharing() {
        if spaces.count < 2 { return }
        let members = Set(CommonAreas.of(spaces.map { ($0.id, $0.map) }).flatMap(\.spaces))
        for space in spaces where members.contains(space.id) { space.memory.sparesSharing = true }
    }

    struct Process {
        var pid: Int32
        var startTime: UInt64
        var thread: Int32
        var parent: Int32
        var key: ProcessKey { ProcessKey(pid: pid, startTime: startTime) }
    }

    private func listProcesses() throws(TrackerError) -> [Int32: Process] {
        let pids: [Int32]
        do throws(SystemError) { pids = try processes() } catch { throw .processes(error) }
        var present: [Int32: Process] = [:]
        for pid in pids {
            guard let stat = try? ProcessStat.of(pid: pid) else { continue }  // ended meanwhile
            var thread = pid
            if stat.hasEnded {  // the leader may have ended before its threads
                guard let live = try? ProcFS.liveThread(of: pid) else { continue }
                thread = live.thread
            }
            present[pid] = Process(pid: pid, startTime: stat.startTime, thread: thread, parent: stat.parent)
        }
        return present
    }

    private func isAlive(_ space: TrackedSpace) -> Bool {
        guard (try? space.readMap(&text)) == true else { return false }
        return (try? space.isStillOf(space.key, scan.buffer)) == true
    }

    private func drop(_ space: TrackedSpace) {
        gone.append(space.id)
        spaces.removeAll { $0 === space }
    }

    private func shareMemory(_ a: Int32, _ b: Int32) -> Bool { linux_kcmp_vm(a, b) == 0 }

    /// A new process gets a space, unless it shares its parent's (vfork before the exec, CLONE_VM). One that shares memory with
    /// others in a way not seen here becomes a second space of the same pages, which can't be registered twice and so is
    /// reported whole: costly, but right.
    private func add(_ process: Process) throws(TrackerError) {
        if let parent = spaces.first(where: { $0.pid == process.parent || $0.sharers.contains { $0.pid == process.parent } }),
            shareMemory(parent.pid, process.pid)
        {
            parent.sharers.append(process.key)
            return
        }
        do throws(SystemError) {
            let space = try TrackedSpace(id: SpaceID(nextID), key: process.key, thread: process.thread)
            guard try space.readMap(&text) else { return }  // ended, or a kernel thread
            nextID += 1
            spaces.append(space)
        } catch {
            if error.errno == ENOENT || error.errno == ESRCH { return }
            throw .scan(pid: process.pid, error)
        }
    }

    // MARK: What they wrote

    private func scanAll(frozen: Bool) throws(TrackerError) -> [SpaceRound] {
        if !frozen { attachAll() }
        var found: [SpaceRound] = []
        for space in spaces {
            do throws(SystemError) {
                if let round = try scanOne(space, frozen: frozen) { found.append(round) } else { drop(space) }
            } catch {
                // It ended meanwhile; if only that thread did, the next round takes the process up as new.
                if error.errno != ESRCH && error.errno != ENOENT { throw .scan(pid: space.pid, error) }
                drop(space)
            }
        }
        return found
    }

    private func attachAll() {
        // A round may come late, when a rollback has let go already.
        guard kind == .writeProtect, !isDetached else { return }
        for space in spaces where space.userfaultfd == nil && space.attempts > 0 {
            do throws(InjectionError) {
                let result = try Injection.userfaultfd(in: space.pid, within: .milliseconds(300))
                longestStop = max(longestStop, result.stop)
                do throws(SystemError) { try result.userfaultfd.negotiate(TrackerKind.features) } catch {
                    throw .failed(pid: space.pid, error)
                }
                space.userfaultfd = result.userfaultfd
                space.untracked = nil
                space.covered = []
            } catch {
                space.untracked = "\(error)"
                switch error {
                case .thirtyTwoBit, .seccomp, .dispatched, .noInstruction: space.attempts = 0  // won't change
                case .uninterruptible: break  // a look at /proc, and sooner or later it's awake
                default: space.attempts -= 1
                }
            }
        }
    }

    /// - Returns: nil if the space has ended.
    private func scanOne(_ space: TrackedSpace, frozen: Bool) throws(SystemError) -> SpaceRound? {
        // The map was read before the attaching; a running program has gone on since.
        if !frozen {
            guard try space.readMap(&text) else { return nil }
            space.findHazards()
        }
        // Listed before the scan, so that what a scan didn't see isn't listed either (`WriteProtectScan.frozen`).
        space.live = try frozen && kind != .writeProtect ? populated(space) : nil
        var runs: [PageRun] = []
        switch kind {
        case .writeProtect: if try !scanProtected(space, frozen: frozen, &runs) { return nil }
        case .softDirty: try scanSoftDirty(space, frozen: frozen, &runs)
        case .contentHash: try scanHashes(space, &runs)
        }
        if !RunList.isNormal(runs) { RunList.normalize(&runs) }
        let reported = withPrevious(space, runs)
        defer { space.isNew = false }
        return SpaceRound(
            space: space.id, pid: space.pid, memory: space.memory, dirty: reported, isNew: space.isNew,
            untracked: kind == .writeProtect && space.userfaultfd == nil
                ? space.untracked ?? "frozen before it could be attached" : nil,
            untrackedAreas: space.untrackedAreas, hazards: space.hazards)
    }

    /// Hardware writes late: a page handed to O_DIRECT or AIO counts as written when the request starts, and changes when
    /// it ends. So what the last round reported is reported again.
    private func withPrevious(_ space: TrackedSpace, _ runs: [PageRun]) -> [PageRun] {
        defer { space.previous = runs }
        guard space.hazards.contains(.directIO), !space.previous.isEmpty, kind != .contentHash else { return runs }
        var all = runs + space.previous
        RunList.normalize(&all)
        return all
    }

    private func scanProtected(_ space: TrackedSpace, frozen: Bool, _ runs: inout [PageRun]) throws(SystemError) -> Bool {
        let protect = WriteProtectScan(scan: scan, scope: scope)
        if frozen {
            var lists = LastLists()
            try protect.frozen(space, into: &lists)
            runs = lists.dirty
            space.live = lists.live
            return true
        }
        return try protect.running(space, into: &runs) == .done
    }

    private func scanSoftDirty(_ space: TrackedSpace, frozen: Bool, _ runs: inout [PageRun]) throws(SystemError) {
        // The bits are cleared once, before the first list: nothing can fall between.
        if space.isNew, !frozen { try SoftDirty.clear(thread: space.thread) }
        for area in space.map.areas where scope.includes(area) {
            if space.isNew || frozen && area.kind == .sharedMemory {
                try scan.populated(space, area.range, of: area, protecting: false, into: &runs)
            } else {
                try scan.softDirty(space, area.range, of: area, into: &runs)
            }
        }
    }

    private func scanHashes(_ space: TrackedSpace, _ runs: inout [PageRun]) throws(SystemError) {
        let all = try listed(space)
        let size = 1 << 20  // stays in the second-level cache between reading and hashing
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: pageSize)
        defer { buffer.deallocate() }
        var batches = RunBatches(all, maximumBytes: size), batch: [PageRun] = [], vanished: [PageRun] = []
        while batches.next(into: &batch) > 0 {
            try space.memory.read(batch, into: buffer, vanished: &vanished)
            space.hashes.appendChanged(batch, UnsafeRawBufferPointer(buffer), to: &runs)
        }
    }

    func recordSent(_ id: SpaceID, _ runs: [PageRun], _ bytes: UnsafeRawBufferPointer) {
        guard kind == .contentHash, let space = space(id) else { return }
        space.hashes.record(runs, bytes)
    }
}
