import CLinux
import Glibc
import Host
import Model

/// One address space under watch: the descriptors that are bound to it, and what is known of its areas.
///
/// All of map, page map and memory are opened once: they stay with the address space when the process execs, and then show
/// nothing, by which the end of the space is seen. (Opened anew in each round they could show two different programs.)
final class TrackedSpace {
    let id: SpaceID
    let pid: Int32
    /// With the pid this names the process for good.
    let startTime: UInt64
    /// A thread that had the memory when it was attached.
    let thread: Int32
    let pageMap: PageMap
    private(set) var memory: RemoteMemory
    private let maps: OwnedDescriptor

    /// nil if the process isn't tracked (yet).
    var userfaultfd: Userfaultfd?
    /// Why there is none.
    var untracked: String?
    /// Attempts to attach that are left.
    var attempts = 5
    /// Processes that share this memory (CLONE_VM, vfork before its exec), by pid and start time.
    var sharers: [ProcessKey] = []

    /// As of the last round.
    var map = MemoryMap()
    /// Areas in scope as of the last scan, for which written pages alone are enough; in address order, joined.
    var covered: [Range<UInt64>] = []
    var untrackedAreas = 0
    var isNew = true
    /// Runs of the last round, kept where hardware may write late.
    var previous: [PageRun] = []
    var hazards: SpaceRound.Hazards = []
    /// Pages that exist, as of the last round.
    var live: [PageRun]?
    var hashes = PageHashes()

    init(id: SpaceID, key: ProcessKey, thread: Int32) throws(SystemError) {
        self.id = id
        pid = key.pid
        startTime = key.startTime
        self.thread = thread
        maps = try OwnedDescriptor(opening: "/proc/\(thread)/maps", flags: O_RDONLY)
        pageMap = try PageMap(thread: thread)
        memory = try RemoteMemory(thread: thread)
    }

    var key: ProcessKey { ProcessKey(pid: pid, startTime: startTime) }

    /// Reads the areas anew.
    /// - Returns: false if the address space has ended.
    func readMap(_ buffer: inout ReadBuffer) throws(SystemError) -> Bool {
        do { try buffer.fill(from: maps.raw, name: "/proc/\(thread)/maps") } catch {
            if error.errno == ESRCH { return false }
            throw error
        }
        map.parse(buffer.bytes)
        return !map.areas.isEmpty
    }

    /// Whether the process still has this very address space: an exec leaves the old one alive if somebody shares it.
    ///
    /// With write protection: a page map opened now shows protectable areas (a new program's are none). Otherwise by the
    /// places of [vdso] and [stack], which exec draws anew. A wrong "no" costs a full copy, nothing else.
    func isStillOf(_ key: ProcessKey, _ buffer: PageRegionBuffer) throws(SystemError) -> Bool {
        guard key == self.key, let live = try ProcFS.liveThread(of: pid) else { return false }
        // The leader may have ended before its threads: reading by a thread that lives is faster.
        if live.thread != memory.thread { memory = try RemoteMemory(thread: live.thread) }
        if userfaultfd != nil {
            let fresh = try PageMap(thread: live.thread)
            var query = PageQuery()
            query.all = .protectable
            query.told = .protectable
            query.maximumPages = 1
            var found: [PageRun] = []
            // The stack first: always there, and at the end of a walk over everything.
            if let stack = map.areas.last(where: { $0.kind == .anonymous }) {
                try fresh.scan(stack.start..<stack.end, query, buffer: buffer, into: &found)
            }
            if found.isEmpty { try fresh.scan(0..<AddressSpace.end, query, buffer: buffer, into: &found) }
            return !found.isEmpty
        }
        if map.areas.isEmpty { return true }
        let now = try MemoryMap.of(pid: live.thread)
        return now.first(named: "[vdso]")?.start == map.first(named: "[vdso]")?.start
            && now.first(named: "[stack]")?.end == map.first(named: "[stack]")?.end
    }

    /// Looks for descriptors by which pages change without a trace. Some microseconds a descriptor: not in the freeze.
    func findHazards() {
        var found: SpaceRound.Hazards = []
        if map.areas.contains(where: { $0.kind == .fileShared && map.name(of: $0).hasPrefix("/[aio]") }) {
            found.insert(.directIO)
        }
        let descriptors = (try? ProcFS.descriptors(of: pid)) ?? []
        for descriptor in descriptors {
            if descriptor.target == "anon_inode:[io_uring]" { found.insert(.ioUring) }
            // Only files can be O_DIRECT; sockets and pipes have no path.
            guard descriptor.target.hasPrefix("/"), !found.contains(.directIO) else { continue }
            if TrackedSpace.isDirect(pid, descriptor.number) { found.insert(.directIO) }
        }
        hazards = found
    }

    /// `flags:` of fdinfo is octal; O_DIRECT is 040000.
    private static func isDirect(_ pid: Int32, _ number: Int32) -> Bool {
        guard let bytes = try? FileIO.read("/proc/\(pid)/fdinfo/\(number)") else { return false }
        guard let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first(where: { $0.hasPrefix("flags:") })
        else { return false }
        let digits = line.drop { !$0.isNumber }
        return (UInt64(digits, radix: 8) ?? 0) & 0o40000 != 0
    }
}

/// A process, for good: its number may be used again, not with the same start time.
struct ProcessKey: Hashable, Sendable {
    var pid: Int32
    var startTime: UInt64
}

enum AddressSpace {
    /// Where the address space of a 64-bit process ends (47 bits less a page; more only for those who ask for it).
    static let end: UInt64 = 0x7fff_ffff_f000
}

extension TrackerScope {
    /// Whether an area's pages are reported.
    func includes(_ area: MemoryArea) -> Bool {
        switch area.kind {
        case .anonymous: true
        case .filePrivate: self == .privateData ? area.isFileData : self != .privateAnonymous
        case .sharedMemory: self == .all
        default: false
        }
    }
}

extension MemoryArea {
    /// Whether a registered range may reach over it. Files shared and devices refuse (no VM_MAYWRITE, VM_PFNMAP).
    var isRegistrable: Bool { kind == .anonymous || kind == .filePrivate || kind == .sharedMemory }
    var range: Range<UInt64> { start..<end }
}
