import Containers
import Glibc
import Host
import Model
import Pages
import Plan
import Wire

/// The container to be moved, looked at before anything is touched.
struct SourceContainer: Sendable {
    let id: String
    let engine: RuncRuntime
    let state: RuntimeState
    let bundle: OCIBundle
    let cgroup: Cgroup
    let site: Site
    let description: ContainerDescription

    /// - Throws: a `Problem` in words when there is no such running container.
    init(_ request: MigrationRequest) throws {
        id = request.container
        engine = RuncRuntime(root: request.runtimeRoot)
        state = try Self.find(id, engine)
        guard !state.bundle.isEmpty else {
            throw Problem(what: "find the bundle of \(id)", why: "runc's state names none", hint: "was it started by runc run?")
        }
        bundle = try OCIBundle(path: state.bundle)
        guard let path = state.unifiedCgroup ?? state.cgroupPaths["freezer"], FileIO.exists(path) else {
            throw Problem(
                what: "find the cgroup of \(id)", why: "runc's state names none that is there",
                hint: "Martlet freezes a container by its cgroup: mount cgroup2, or a v1 freezer")
        }
        cgroup = Cgroup(path: path)
        site = Site(cgroup: path, container: id, runtimeRoot: request.runtimeRoot)
        description = try Self.describe(id, state, bundle, cgroup)
    }

    /// Whether the runtime has a container of that name, in whatever state.
    static func isKnown(_ request: MigrationRequest) -> Bool {
        RuncRuntime.isValidID(request.container)
            && FileIO.exists(RuncRuntime(root: request.runtimeRoot).folder(of: request.container))
    }

    /// What to do about a container that is not running.
    private static func advice(_ id: String, _ status: RuncRuntime.Status) -> String {
        let isInterrupted = JournalFile.all().contains { migration in
            Recovery.isOpen(migration, .source) && JournalFile.read(migration, .source).first?.container == id
        }
        if isInterrupted { return "a migration of it was interrupted: `martlet recover \(id)` settles it" }
        return status == .paused ? "resume it first: runc resume \(id)" : "start it first"
    }

    private static func find(_ id: String, _ engine: RuncRuntime) throws -> RuntimeState {
        do {
            let state = try engine.details(of: id)
            let status = try engine.state(of: id).status
            guard status == .running else {
                throw Problem(
                    what: "migrate \(id)", why: "it is \(status.rawValue), not running",
                    hint: advice(id, status))
            }
            return state
        } catch BundleError.noContainer {
            let known = ((try? engine.list()) ?? []).map(\.id)
            throw Problem(
                what: "find the container \(id)", why: "runc knows no container of that name in \(engine.root)",
                hint: known.isEmpty
                    ? "there is none at all; --runtime-root names another folder" : "there are: \(known.joined(separator: ", "))")
        }
    }

    private static func describe(_ id: String, _ state: RuntimeState, _ bundle: OCIBundle, _ cgroup: Cgroup) throws
        -> ContainerDescription
    {
        var processes: [ContainerDescription.Process] = []
        let pids = try cgroup.processes()
        var memory = HostSurvey.sharedMemory(of: pids)
        for pid in pids {
            guard let status = try? ProcessStatus.of(pid: pid) else { continue }
            processes.append(.init(pid: status.namespacePIDs.last ?? pid, name: status.name))
            memory += HostSurvey.privateMemory(of: pid)
        }
        let network: ContainerDescription.NetworkKind =
            switch bundle.config.namespace(.network) {
            case nil: .host
            case let namespace?: namespace.path == nil ? .none : .movable
            }
        return ContainerDescription(
            id: id, engine: "runc", bundle: bundle.path, rootfs: bundle.rootPath,
            config: String(decoding: bundle.configuration, as: UTF8.self), processes: processes, memory: ByteCount(memory),
            network: network, addresses: [], sockets: 0)
    }

    func recovery(_ migration: MigrationID, _ options: MigrationOptions) -> RecoveryFacts {
        RecoveryFacts(
            engine: "runc", bundle: bundle.path, cgroup: cgroup.path, session: Places.volatile(migration), pid: state.pid,
            startTime: state.startTime, boot: bootID(), keepSource: options.keepSource)
    }

    /// What the wishes need of this container, beyond what all migrations need.
    func findings(for options: MigrationOptions) -> [Finding] {
        options.autoConverge ? [ProcessorThrottle.finding(cgroup, pid: state.pid)].compactMap { $0 } : []
    }

    /// What the destination has to know.
    func facts(for options: MigrationOptions) throws -> SourceFacts {
        var wishes = PreflightWishes(connections: .init(options.tcp, description.network))
        wishes.ghostLimit = ByteCount(
            CriuConfiguration(of: bundle.config).ghostLimit ?? Int(DumpPlan.Choices().ghostLimit))
        wishes.volumes = VolumeWishes(paths: options.copyVolumes, all: options.copyAllVolumes, replace: options.replaceVolumes)
        return try SourceSurvey(container: self, wishes: wishes).facts()
    }

    /// The parts that carry a fresh attempt.
    func parts(
        _ migration: MigrationID, _ request: MigrationRequest, _ facts: SourceFacts, _ link: SourceLink,
        _ reporter: any ProgressReporter, _ mailbox: Mailbox<SourceEvent>
    ) throws -> SourceDoers.Parts {
        let cgroup = cgroup
        let processes: @Sendable () throws(SystemError) -> [Int32] = { () throws(SystemError) in try cgroup.processes() }
        let freezer = try CgroupFreezer(cgroup)
        let memory = SourceMemory(
            container: state.pid, processes: processes, link: link, options: request.options,
            innerPID: { (try? ProcessStatus.of(pid: $0))?.namespacePIDs.last })
        var choices = DumpPlan.Choices()
        choices.tcpClose = facts.wishes.connections != .keep
        let plan = try DumpPlan(
            container: state, config: bundle.config, rootPath: bundle.rootPath, streams: facts.streams,
            carried: facts.container.tmpfs,
            choices: choices)
        let pages = SourceDump.PageWay(
            connect: {
                try Tunnel.open(try link.open(.files, Tunnel.pageServer), limit: memory.limit) { memory.count($0) }
            }, rest: { try memory.restForDump() })
        let dump = SourceDump(
            plan: plan, migration: migration, memory: description.memory, pages: pages, processes: processes)
        let carried = facts.container.tmpfs.enumerated().map { number, tmpfs in
            SourceFiles.Carried(tmpfs: tmpfs, folder: Places.tmpfs(migration, number))
        }
        let files = SourceFiles(
            folders: facts.folders, carried: carried, of: state.pid, link: link, limit: memory.limit,
            processes: { (try? cgroup.processes()) ?? [] },
            note: { reporter.report(.note($0)) })
        return SourceDoers.Parts(
            memory: memory, dump: dump, files: files,
            network: try NetworkCut(facts.container.network, keepsConnections: facts.wishes.connections == .keep), facts: facts,
            freezer: freezer, throttle: ProcessorThrottle(migration, cgroup, pid: state.pid),
            exit: try ExitWatch(pid: state.pid, cgroup: cgroup) { mailbox.post(.containerExited) },
            note: { reporter.report(.note($0)) })
    }
}

extension PreflightWishes.Connections {
    /// - Parameter network: with an address of its own that moves along connections are kept unless somebody wants otherwise.
    init(_ tcp: MigrationOptions.TCP, _ network: ContainerDescription.NetworkKind) {
        self =
            switch tcp {
            case .established: .keep
            case .close: .close
            case .auto: network == .movable ? .keep : .closeUnasked
            }
    }
}

extension TrackerKind {
    init(_ tracker: Ways.Tracker) {
        switch tracker {
        case .writeProtect: self = .writeProtect
        case .softDirty: self = .softDirty
        case .contentHash: self = .contentHash
        }
    }
}
