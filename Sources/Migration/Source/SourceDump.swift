import Containers
import Glibc
import Host
import Model
import Plan
import Synchronization

/// The dump: a `criu swrk` that waits at `pre-dump` until the container is frozen, then writes a skeleton without the memory
/// that `SourceMemory` carries, and waits at `post-dump` for the verdict.
final class SourceDump: Sendable {
    private let migration: MigrationID
    private let work: String
    private let plan: DumpPlan
    private let memory: ByteCount
    private let chosen = Mutex<Chosen?>(nil)
    private let processes: @Sendable () throws -> [Int32]
    private let pages: PageWay
    private let session = Mutex<CriuSession?>(nil)
    private let smaps = Mutex<[Int32: SmapsSnapshot]>([:])
    /// What was left out of the dump, by our numbers of the processes.
    private let hidden = Mutex<[Int32: [Range<UInt64>]]>([:])
    /// Held open as long as CRIU lives: it opens them through our /proc folder.
    private let folders = Mutex<[SharedDescriptor]>([])

    /// From CRIU's start to `pre-dump`; 30 to 60 ms on an idle host.
    private static let startLimit = Duration.seconds(20)
    /// From the release to `post-dump`; a plain dump takes 0.6 s/GB, a skeleton some tens of milliseconds.
    private static let dumpLimit = Duration.seconds(120)

    /// How pages go to a page server at the destination, where a method wants that.
    struct PageWay: Sendable {
        /// A connected socket whose other end is the page server's.
        var connect: @Sendable () throws -> OwnedDescriptor
        /// Frozen: the pages of each process that the dump shall take, of those that it would not. Blocks until they are found.
        var rest: @Sendable () throws -> [Int32: [PageRun]]
    }

    /// What is known once the ways are.
    private struct Chosen: Sendable {
        var ways: Ways
        var images: String
        /// Made when CRIU is started.
        var shim: CriuShim?
    }

    /// - Parameter memory: the container's: a dump with all of it may not fit on the tmpfs.
    init(
        plan: DumpPlan, migration: MigrationID, memory: ByteCount, pages: PageWay,
        processes: @escaping @Sendable () throws -> [Int32]
    ) {
        (self.plan, self.migration, self.memory, self.processes) = (plan, migration, memory, processes)
        self.pages = pages
        work = "\(Places.durable(migration))/dump"
    }

    /// Before all else: how memory is kept out of the dump, if it is.
    func take(_ ways: Ways) {
        let images = Places.images(migration, whole: ways.dump == .full ? memory : nil)
        chosen.withLock { $0 = Chosen(ways: ways, images: images) }
    }

    /// The folder of the images.
    var images: String { chosen.withLock { $0?.images } ?? Places.images(migration, whole: nil) }
    /// Whether the dump is one of milliseconds.
    var hidesMemory: Bool { chosen.withLock { $0?.ways.dump == .hidden } }
    private var shim: CriuShim? { chosen.withLock { $0?.shim } }

    /// Starts CRIU and waits until it is at `pre-dump`; then keeps what CRIU would read slowly in the freeze.
    func start() throws {
        guard let ways = chosen.withLock({ $0?.ways }) else { throw TransferProblem("nobody chose how to dump") }
        let images = images
        for folder in [Places.volatile(migration), images, work] { try Places.make(folder) }
        let imageFolder = SharedDescriptor(try OwnedDescriptor(opening: images, flags: O_RDONLY | O_DIRECTORY))
        let workFolder = SharedDescriptor(try OwnedDescriptor(opening: work, flags: O_RDONLY | O_DIRECTORY))
        folders.withLock { $0 = [imageFolder, workFolder] }
        // Also without a library that CRIU takes: the folder then only has the options.
        let shim = try CriuShim(
            creating: "\(Places.volatile(migration))/shim", library: CriuShim.findLibrary(),
            tar: CriuShim.findLibrary("martlet-tar"))
        chosen.withLock { $0?.shim = shim }
        try shim.setConfiguration(plan.configuration)
        var plan = plan
        plan.lazyPages = ways.dump == .lazy
        plan.toPageServer = ways.dump == .pageServer
        let request = plan.request(
            imagesDirectory: imageFolder.raw, workDirectory: workFolder.raw, configurationFile: shim.configurationPath)
        let criu = try start(request, shim, toPageServer: plan.toPageServer)
        session.withLock { $0 = criu }
        try OrphanedDump.note(criu.pid, of: migration)
        skipConnectionTracking()
        try FileIO.writeAtomically(plan.streams.descriptorsFile, to: "\(images)/descriptors.json")
        try criu.advance(to: "pre-dump", within: Self.startLimit)
        let pids = try processes()
        PageCache.read(mappedBy: pids + [criu.pid])
        for pid in pids {
            if let snapshot = try? SmapsSnapshot.of(pid: pid) { smaps.withLock { $0[pid] = snapshot } }
        }
    }

    private func start(_ request: CriuRequest, _ shim: CriuShim, toPageServer: Bool) throws -> CriuSession {
        let log = "\(work)/\(DumpPlan.logName)"
        guard toPageServer else {
            return try CriuSession(request, what: "dump", environment: shim.environment, logPath: log)
        }
        let socket = try pages.connect()
        return try CriuSession(
            request, what: "dump", environment: shim.environment, logPath: log,
            descriptors: [DumpPlan.pageServerDescriptor: socket.raw])
    }

    /// A namespace that tracks no connection has none to dump; asking the kernel takes 18 ms.
    private func skipConnectionTracking() {
        guard let pid = try? processes().first, ConnectionTracking.isEmpty(pid: pid) else { return }
        try? shim?.skipConnectionTracking()
    }

    /// Frozen: writes what the library leaves out, lets CRIU dump, returns when it is at `post-dump`.
    /// - Parameter shared: shared memory that travels by itself.
    func release(_ steps: StepLog, without shared: [SharedObject]) throws {
        guard let criu = session.withLock({ $0 }), let ways = chosen.withLock({ $0?.ways }) else {
            throw TransferProblem("the dump was not started")
        }
        let hides = ways.dump == .hidden || ways.leavesRestToDump
        if ways.dump == .hidden { criu.hurry() }  // one that writes all memory would keep a processor from all others for seconds
        if ways.dump == .hidden, !Pretence.current.hidesNothing {
            let objects = shared.filter { $0.segment == nil }.map(\.inode)
            try shim?.hide(objects: objects, segments: shared.compactMap { $0.segment?.id })
        }
        // Before CRIU touches them: a thread that is being seized tells nothing for a moment.
        var pointers: [(pid: Int32, all: [UInt64])] = []
        if hides {
            for pid in try processes() {
                // A process of which something can't be told is dumped whole: slow, and right.
                if let all = try HiddenRanges.stackPointers(of: pid) { pointers.append((pid, all)) }
            }
        }
        let rest = ways.leavesRestToDump ? try pages.rest() : nil
        if hides { try shim?.beginListing() }
        let released = MonotonicInstant.now.nanoseconds
        try criu.answer(success: true)
        // CRIU comes to its processes one after the other: half a millisecond each is spared by not having all ready before.
        try steps.time("list hidden memory") {
            defer { shim?.endListing() }
            for (pid, all) in pointers {
                // One that nobody looked through is dumped whole.
                if let rest, rest[pid] == nil { continue }
                try prepare(pid, all, files: ways.carriesFilePages, without: rest?[pid] ?? [])
            }
        }
        try criu.advance(to: "post-dump", within: limit(ways))
        steps.note("criu: dump", since: released)
    }

    /// To a page server memory goes over the link while it is dumped: 10 MB/s is a slow WAN's (`SourceMachine.frozenLimit`).
    private func limit(_ ways: Ways) -> Duration {
        ways.dump == .pageServer ? Self.dumpLimit + .milliseconds(memory.rawValue / 10_000) : Self.dumpLimit
    }

    private func prepare(_ pid: Int32, _ stackPointers: [UInt64], files: Bool, without rest: [PageRun]) throws {
        let snapshot = smaps.withLock { $0[pid] } ?? (try? SmapsSnapshot.of(pid: pid))
        guard let snapshot, let shim else { return }
        let maps = try FileIO.read("/proc/\(pid)/maps")
        let all = HiddenRanges.of(MemoryMap(maps.span), locked: snapshot.locked, stackPointers: stackPointers, files: files)
        let ranges = rest.isEmpty ? all : HiddenRanges.of(all, without: rest)
        // CRIU waits for the ranges: what it reads before them comes first.
        if let rebuilt = snapshot.rebuilt(maps: maps) { try shim.setSmaps(rebuilt, of: pid) }
        try shim.hide(Pretence.current.hidesNothing ? [] : ranges, of: pid)
        hidden.withLock { $0[pid] = ranges }
    }

    /// For an orderly end: the container stands still meanwhile, and a CRIU that is killed lets its tasks go as well.
    private static let abandonLimit = Duration.seconds(3)

    /// Looks whether the images left out what was hidden; afterwards, because it costs time. What was not left out makes the
    /// migration slow, not wrong, and the next one goes another way.
    func checkSkeleton() {
        let ranges = hidden.withLock { $0 }
        guard !ranges.isEmpty, let maps = try? ImageDirectory(path: images).pageMaps() else { return }
        var inside: [Int32: [Range<UInt64>]] = [:]
        for (pid, hidden) in ranges {
            if let number = (try? ProcessStatus.of(pid: pid))?.namespacePIDs.last { inside[number] = hidden }
        }
        let check = SkeletonCheck(maps: maps, hidden: inside)
        guard !check.isSkeleton else { return }
        HostProbe.note(
            hidingFailed: "a dump had \(check.unexpected.rawValue) pages in its images that were hidden: "
                + "this CRIU asks for them in another way")
    }

    /// The dump is void: failure as the verdict lets the tasks go; a CRIU that does not listen is killed, which does too.
    ///
    /// One that dumps lazily is always killed: behind any answer at `post-dump` it would serve memory on a TCP port, to
    /// whoever comes, and wait for that (criu/cr-dump.c, cr_dump_finish).
    func abandon() {
        guard
            let criu = session.withLock({ session in
                defer { session = nil }
                return session
            })
        else { return }
        let isLazy = chosen.withLock { $0?.ways.dump == .lazy }
        // Behind the verdict come questions more, such as `network-unlock`; CRIU's last word is that the dump failed.
        if !isLazy, (try? criu.answer(success: false)) != nil { _ = try? criu.finish(within: Self.abandonLimit) }
        if isLazy || (try? criu.waitForEnd(within: Self.abandonLimit)) == .some(nil) { criu.kill() }
        shim?.remove()
    }

    /// The tasks were killed: CRIU finds them gone and ends.
    func finish() {
        guard
            let criu = session.withLock({ session in
                defer { session = nil }
                return session
            })
        else { return }
        criu.kill()
        shim?.remove()
    }

    /// Asked after the cgroup's second freeze: a CRIU that died before it has let the tasks run on, and what they did since
    /// is in no image.
    func requireAlive() throws {
        guard let criu = session.withLock({ $0 }), try criu.waitForEnd(within: .zero) == nil else {
            throw TransferProblem("CRIU ended between the dump and the second freeze: the container ran on")
        }
    }

    func kill() { session.withLock { $0 }?.kill() }
}
