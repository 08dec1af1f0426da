import Glibc
public import Host
import Synchronization

/// A `runc restore` that is started early and held twice: until its images are there (`release`), and, with every task
/// restored and none of its instructions run, until the source has decided (`go` or `abort`).
///
/// Events come in order: `held`, `stage`s, `ready`, `finished`; or `failed` at any point, after which only `abort`
/// makes sense: it cleans up. If this process dies before `go`, the library ends CRIU (first hold) or the tasks stay
/// frozen (second hold): nothing runs.
public final class RestoreRunner: Sendable {
    public enum Event: Sendable {
        /// CRIU waits for its images, in the container's cgroup. A folder of cgroup v2, nil without one.
        case held(cgroup: String?)
        /// CRIU is at a notification: `setup-namespaces`, `post-restore`, `network-unlock`, `pre-resume`...
        case stage(String)
        /// Everything is restored and stopped: the destination's "ready" of the commit.
        case ready
        /// The tasks run and the runtime's program has ended.
        case finished
        case failed(CriuError)
    }

    enum Phase { case starting, held, released, frozen, waiting, going, over }
    struct State: Sendable {
        var phase = Phase.starting
        var control: RestoreControl?
        /// CRIU's process, once held.
        var criu: Int32?
        /// Where CRIU was when it was held.
        var cgroup: String?
        /// When the present phase must be over.
        var deadline: MonotonicInstant?
    }

    public let events = Mailbox<Event>()
    let request: RestoreRequest
    let child: ChildProcess
    let listener: UnixSocket
    let state: Mutex<State>
    let watcher = Mutex<Thread?>(nil)
    /// The library's answer: its address, or that there is none.
    let arena = Monitor<UInt64??>(nil)
    /// Streams that the destination couldn't have, in words, for the report.
    public let substitutedStreams: [String]

    /// How often deadlines are looked at; events themselves wake at once.
    static let deadlineCheck = Duration.milliseconds(200)

    /// Starts the runtime's program.
    /// - Throws: if it can't be started. A criu-root that an earlier attempt left mounted is unmounted first.
    public static func start(_ request: RestoreRequest) throws(CriuError) -> RestoreRunner {
        try request.shim.setConfiguration(request.configuration)
        // runc reads it before it starts CRIU; the source has sent it with the offer, not with the images.
        do {
            try FileIO.writeAtomically(request.streams.descriptorsFile, to: "\(request.imagesDirectory)/descriptors.json")
        } catch { throw .system(error) }
        do { try request.runtime.unmountRestoreRoot(of: request.id) } catch { throw .shim(what: "\(error)") }
        do {
            let runner = try RestoreRunner(request)
            let thread = try Thread(named: "restore") { runner.watch() }
            runner.watcher.withLock { $0 = thread }
            return runner
        } catch { throw .system(error) }
    }

    private init(_ request: RestoreRequest) throws(SystemError) {
        self.request = request
        listener = try UnixSocket.listen(at: request.shim.controlPath, .messages)
        let (streams, substituted) = try request.streams.open()
        substitutedStreams = substituted
        var spawn = Spawn(request.runtime.program, request.arguments)
        spawn.environment = CriuSession.merged(request.shim.environment)
        for (number, stream) in streams.enumerated() { spawn.descriptors[Int32(number)] = stream.raw }
        spawn.newSession = true
        child = try spawn.start()
        withExtendedLifetime(streams) {}
        state = Mutex(State(deadline: .now + request.startLimit))
    }

    /// Lets the restore read its images, which must be complete, checked (`ImageDirectory.validate`) and edited
    /// (`prepareForRestore`). May be called before `held` has been seen, not before it happened.
    public func release() throws(CriuError) {
        let (control, criu, cgroup) = try state.withLock { state throws(CriuError) in
            guard state.phase == .held, let control = state.control else {
                throw .shim(what: "a restore that isn't held (\(state.phase)) can't be released")
            }
            state.phase = .released
            state.deadline = .now + request.restoreLimit
            return (control, state.criu, state.cgroup)
        }
        if request.isLazy {  // one that reads all memory from its images would keep a processor from all others for seconds
            Urgency.raise(child.pid, to: .chain)
            if let criu { Urgency.raise(criu, to: .chain) }
        }
        try control.release(options: request.options.encoded(), freeze: cgroup, newCgroupNamespace: request.newCgroupNamespace)
    }

    /// Maps memory in the held CRIU that every process of the restore inherits (Preload/common-pages.c). To be called once, not
    /// on the thread that takes the events' place.
    /// - Returns: CRIU's process and the memory's address there; nil if it can't be had.
    public func mapCommon(bytes: UInt64) throws(CriuError) -> (pid: Int32, address: UInt64)? {
        let (phase, control, criu) = state.withLock { ($0.phase, $0.control, $0.criu) }
        guard phase == .held, let control, let criu else { return nil }
        try control.mapCommon(bytes: bytes)
        guard let answer = arena.wait(until: .now + Self.answerLimit, { $0 }), let address = answer else { return nil }
        return (criu, address)
    }

    /// One mmap, by a process that does nothing else.
    private static let answerLimit = Duration.seconds(5)

    /// Has the runtime's and CRIU's programs in memory before the freeze, once the restore is held.
    public func readPrograms() {
        let criu = state.withLock { $0.criu }
        PageCache.read(mappedBy: [child.pid] + (criu.map { [$0] } ?? []))
    }

    /// Whether a held restore's CRIU still lives, asked of the kernel now. Without it restored tasks must not be let go: they
    /// would run on in the middle of being restored.
    public var isAlive: Bool {
        guard let control = state.withLock({ $0.control }) else { return false }
        guard let events = try? Poll.wait(control.descriptor, for: .input, until: .now) else { return false }
        return !events.contains(.hangUp)
    }

    /// Lets the restored tasks run. Only after the source has decided: from here on there is no way back.
    public func go() throws(CriuError) {
        let (phase, control, cgroup) = try state.withLock { state throws(CriuError) in
            // Going already: a thaw that failed is tried again.
            guard [.frozen, .waiting, .going].contains(state.phase) else {
                throw .shim(what: "a restore that isn't ready (\(state.phase)) can't go")
            }
            defer { state.phase = .going }
            state.deadline = .now + request.startLimit
            return (state.phase, state.control, state.cgroup)
        }
        if phase != .waiting, let cgroup {
            do { try CgroupFreezer(path: cgroup).thaw() } catch { throw .system(error) }
        } else {
            try control?.go()
        }
    }

    /// Ends the restore, whatever state it is in, and removes all that it made: tasks, runtime's state, mount, cgroup.
    /// - Throws: what could not be removed; the tasks are dead nevertheless.
    public func abort() throws(CriuError) {
        let cgroup = state.withLock { state in
            defer { state.phase = .over }
            state.control = nil  // at the first hold CRIU exits by this
            return state.cgroup
        }
        do {
            if let cgroup, FileIO.exists(cgroup) { try CgroupFreezer(path: cgroup).kill() }
            if try child.wait(until: .now + .seconds(2)) == nil {
                try child.kill(SIGKILL)
                _ = try child.wait(until: .now + .seconds(10))
            }
            watcher.withLock { $0 }?.join()
            if let cgroup, FileIO.exists(cgroup) { try CgroupFreezer(path: cgroup).kill() }  // forked in between
        } catch { throw .system(error) }
        unlink(request.shim.controlPath)
        do { try request.runtime.delete(request.id, force: true) } catch { throw .shim(what: "\(error)") }
        // Left behind it would freeze the next restore of the same container from the start.
        do { if let cgroup { try Cgroup(path: cgroup).remove() } } catch { throw .system(error) }
    }
}
