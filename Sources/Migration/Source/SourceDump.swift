import Containers
import Glibc
import Host
import Model
import Synchronization

/// The dump: a `criu swrk` that waits at `pre-dump` until the container is frozen, then writes a skeleton without the memory
/// that `SourceMemory` carries, and waits at `post-dump` for the verdict.
final class SourceDump: Sendable {
    /// On a tmpfs: nothing of the images is worth a disk.
    let images: String
    private let work: String
    private let migration: MigrationID
    private let plan: DumpPlan
    private let hidesMemory: Bool
    private let shim: CriuShim
    private let processes: @Sendable () throws -> [Int32]
    private let session = Mutex<CriuSession?>(nil)
    private let smaps = Mutex<[Int32: SmapsSnapshot]>([:])
    /// Held open as long as CRIU lives: it opens them through our /proc folder.
    private let folders = Mutex<[SharedDescriptor]>([])

    /// From CRIU's start to `pre-dump`; 30 to 60 ms on an idle host.
    private static let startLimit = Duration.seconds(20)
    /// From the release to `post-dump`; a plain dump takes 0.6 s/GB, a skeleton some tens of milliseconds.
    private static let dumpLimit = Duration.seconds(120)

    /// - Parameter hidesMemory: false for a plain dump with all pages in its images.
    init(
        of migration: MigrationID, plan: DumpPlan, images: String, work: String, shim: CriuShim, hidesMemory: Bool,
        processes: @escaping @Sendable () throws -> [Int32]
    ) {
        (self.plan, self.images, self.work, self.shim, self.processes) = (plan, images, work, shim, processes)
        self.hidesMemory = hidesMemory
        self.migration = migration
    }

    /// Starts CRIU and waits until it is at `pre-dump`; then keeps what CRIU would read slowly in the freeze.
    func start() throws {
        for folder in [images, work] { try Places.make(folder) }
        let imageFolder = SharedDescriptor(try OwnedDescriptor(opening: images, flags: O_RDONLY | O_DIRECTORY))
        let workFolder = SharedDescriptor(try OwnedDescriptor(opening: work, flags: O_RDONLY | O_DIRECTORY))
        folders.withLock { $0 = [imageFolder, workFolder] }
        try shim.setConfiguration(plan.configuration)
        let request = plan.request(
            imagesDirectory: imageFolder.raw, workDirectory: workFolder.raw, configurationFile: shim.configurationPath)
        let criu = try CriuSession(
            request, what: "dump", environment: shim.environment, logPath: "\(work)/\(DumpPlan.logName)")
        session.withLock { $0 = criu }
        try OrphanedDump.note(criu.pid, of: migration)
        skipConnectionTracking()
        try FileIO.writeAtomically(plan.streams.descriptorsFile, to: "\(images)/descriptors.json")
        try criu.advance(to: "pre-dump", within: Self.startLimit)
        for pid in try processes() {
            if let snapshot = try? SmapsSnapshot.of(pid: pid) { smaps.withLock { $0[pid] = snapshot } }
        }
    }

    /// A namespace that tracks no connection has none to dump; asking the kernel takes 18 ms.
    private func skipConnectionTracking() {
        guard let pid = try? processes().first, ConnectionTracking.isEmpty(pid: pid) else { return }
        try? shim.skipConnectionTracking()
    }

    /// Frozen: writes what the library leaves out, lets CRIU dump, returns when it is at `post-dump`.
    func release(_ steps: StepLog) throws {
        guard let criu = session.withLock({ $0 }) else { throw TransferProblem("the dump was not started") }
        if hidesMemory { criu.hurry() }  // one that writes all memory would keep a processor from all others for seconds
        let known = smaps.withLock { $0 }
        try steps.time("list hidden memory") {
            if hidesMemory { for pid in try processes() { try prepare(pid, known[pid] ?? (try? SmapsSnapshot.of(pid: pid))) } }
        }
        try steps.time("criu: dump") {
            try criu.answer(success: true)
            try criu.advance(to: "post-dump", within: Self.dumpLimit)
        }
    }

    /// A process of which something can't be told is dumped whole: slow, and right.
    private func prepare(_ pid: Int32, _ snapshot: SmapsSnapshot?) throws {
        let maps = try FileIO.read("/proc/\(pid)/maps")
        guard let pointers = try HiddenRanges.stackPointers(of: pid), let snapshot else { return }
        try shim.hide(HiddenRanges.of(MemoryMap(maps.span), locked: snapshot.locked, stackPointers: pointers), of: pid)
        if let rebuilt = snapshot.rebuilt(maps: maps) { try shim.setSmaps(rebuilt, of: pid) }
    }

    /// For an orderly end: the container stands still meanwhile, and a CRIU that is killed lets its tasks go as well.
    private static let abandonLimit = Duration.seconds(3)

    /// The dump is void: failure as the verdict lets the tasks go; a CRIU that does not listen is killed, which does too.
    func abandon() {
        guard
            let criu = session.withLock({ session in
                defer { session = nil }
                return session
            })
        else { return }
        // Behind the verdict come questions more, such as `network-unlock`; CRIU's last word is that the dump failed.
        if (try? criu.answer(success: false)) != nil { _ = try? criu.finish(within: Self.abandonLimit) }
        if (try? criu.waitForEnd(within: Self.abandonLimit)) == .some(nil) { criu.kill() }
        shim.remove()
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
        shim.remove()
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
