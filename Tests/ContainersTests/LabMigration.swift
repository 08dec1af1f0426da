import Glibc
import Host
import Model
import Testing

@testable import Containers

/// The calls of a migration in their order, without wire and tracker: dump on this host, restore on this host, under
/// another name and from a copied bundle, while the source stands still.
final class LabMigration {
    let source: LabContainer
    let target: LabContainer
    let state: RuntimeState
    let plan: DumpPlan
    let sourceShim: CriuShim
    let targetShim: CriuShim
    let folder: String
    var images: String { "\(folder)/images" }
    var work: String { "\(folder)/work" }
    private let imagesFolder: OwnedDescriptor
    private let workFolder: OwnedDescriptor
    private(set) var session: CriuSession?
    /// By in-namespace pid.
    private(set) var hidden: [Int32: [Range<UInt64>]] = [:]

    init(_ source: LabContainer, to target: LabContainer) throws {
        (self.source, self.target) = (source, target)
        folder = "/data/\(target.id).migration"
        _ = try? shell("rm -rf \(folder) /run/mt-\(target.id)-s /run/mt-\(target.id)-t")
        try shell("mkdir -p \(folder)/images \(folder)/work")
        state = try source.details()
        let bundle = try OCIBundle(path: state.bundle)
        plan = try DumpPlan(container: state, config: bundle.config, rootPath: bundle.rootPath, streams: .of(pid: state.pid))
        let library = try #require(CriuShim.findLibrary())
        let tar = try #require(CriuShim.findLibrary("martlet-tar"))
        sourceShim = try CriuShim(creating: "/run/mt-\(target.id)-s", library: library, tar: tar)
        targetShim = try CriuShim(creating: "/run/mt-\(target.id)-t", library: library, tar: tar)
        imagesFolder = try OwnedDescriptor(opening: "\(folder)/images", flags: O_RDONLY | O_DIRECTORY)
        workFolder = try OwnedDescriptor(opening: "\(folder)/work", flags: O_RDONLY | O_DIRECTORY)
    }

    deinit {
        session?.kill()
        sourceShim.remove()
        targetShim.remove()
        _ = try? shell("rm -rf \(folder)")
    }

    /// CRIU is started and waits at `pre-dump`; the container still runs.
    func startDump() throws {
        try sourceShim.setConfiguration(plan.configuration)
        let request = plan.request(
            imagesDirectory: imagesFolder.raw, workDirectory: workFolder.raw, configurationFile: sourceShim.configurationPath)
        let session = try CriuSession(
            request, what: "dump", environment: sourceShim.environment, logPath: "\(work)/\(DumpPlan.logName)")
        self.session = session
        try session.advance(to: "pre-dump", within: .seconds(20))
    }

    /// Freezes, and dumps up to `post-dump`, at which all tasks are stopped.
    func dump(hiding: Bool) throws {
        let session = try #require(session)
        let cgroup = try #require(state.unifiedCgroup)
        var snapshots: [Int32: SmapsSnapshot] = [:]  // processes come and go while they are looked at
        for pid in try Cgroup(path: cgroup).processes() { snapshots[pid] = try? SmapsSnapshot.of(pid: pid) }
        let freezer = try CgroupFreezer(path: cgroup)
        try eventually("a moment at which CRIU can stop all tasks") {
            try freezer.freeze()
            if UnseizableTasks.find(among: try Cgroup(path: cgroup).processes()).isEmpty { return true }
            try freezer.thaw()
            return false
        }
        let start = MonotonicInstant.now
        if hiding {
            try sourceShim.skipConnectionTracking()
            for pid in try Cgroup(path: cgroup).processes() { try hide(pid, try snapshots[pid] ?? SmapsSnapshot.of(pid: pid)) }
        }
        try session.answer(success: true)
        try session.advance(to: "post-dump", within: .seconds(60))
        print("dump took \(start.elapsed)")
        try freezer.requestFreeze()  // CRIU has thawed the cgroup
    }

    private func hide(_ pid: Int32, _ snapshot: SmapsSnapshot) throws {
        let maps = try FileIO.read("/proc/\(pid)/maps")
        let pointers = try #require(try HiddenRanges.stackPointers(of: pid), "a frozen thread's stack pointer")
        let ranges = HiddenRanges.of(MemoryMap(maps.span), locked: snapshot.locked, stackPointers: pointers)
        try sourceShim.hide(ranges, of: pid)
        if let text = snapshot.rebuilt(maps: maps) { try sourceShim.setSmaps(text, of: pid) }
        hidden[try ProcessStatus.of(pid: pid).innermostPID] = ranges
    }

    /// The source runs on.
    func rollBack() throws {
        let session = try #require(session)
        try session.answer(success: false)
        #expect(throws: CriuError.self) { _ = try session.finish(within: .seconds(20)) }
        _ = try session.waitForEnd(within: .seconds(20))
        try CgroupFreezer(path: try #require(state.unifiedCgroup)).thaw()
    }

    /// The source's tasks are killed by CRIU.
    func commit() throws {
        let session = try #require(session)
        try session.answer(success: true)
        try CgroupFreezer(path: try #require(state.unifiedCgroup)).thaw()
        _ = try session.finish(within: .seconds(30))
        _ = try session.waitForEnd(within: .seconds(30))
    }

    func restoreRequest(lazy: Bool) throws -> RestoreRequest {
        var request = RestoreRequest(
            runtime: target.runtime, id: target.id, bundle: try OCIBundle(path: target.bundle), imagesDirectory: images,
            workDirectory: work, shim: targetShim, streams: plan.streams, configuration: plan.configuration)
        request.isLazy = lazy
        return request
    }
}

extension RestoreRunner {
    /// Waits for an event; a failure or another order fails the test.
    func expect(_ what: String, within limit: Duration = .seconds(30), where matches: (Event) -> Bool) throws {
        let deadline = MonotonicInstant.now + limit
        while true {
            guard let event = events.next(deadline: deadline) else { throw LabFailure(description: "no \(what) within \(limit)") }
            if case .failed(let error) = event { throw LabFailure(description: "instead of \(what): \(error)") }
            if matches(event) { return }
        }
    }
    func awaitHeld() throws {
        try expect("hold") { event in
            guard case .held(let cgroup) = event else { return false }
            #expect(cgroup != nil, "CRIU is alone in a cgroup that can be frozen")
            return true
        }
    }
    func awaitReady() throws { try expect("ready") { if case .ready = $0 { true } else { false } } }
    func awaitFinished() throws { try expect("end") { if case .finished = $0 { true } else { false } } }
}
