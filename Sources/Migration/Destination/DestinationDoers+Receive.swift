import Synchronization
import Containers
import Glibc
import Host
import Model
import Pages
import Plan
import Wire

/// From the offer to a restore that is held at its request.
extension DestinationDoers {
    func check(_ offer: Offer) throws {
        let facts = try JSON.decode(SourceFacts.self, from: Array(offer.facts.utf8))
        let host = HostSurvey.capabilities()
        var findings = try DestinationSurvey(facts: facts, offer: offer, capabilities: host).findings()
        findings += room.findings(for: offer.container.memory)
        if offer.container.id != facts.container.id {
            findings.append(
                Finding(
                    .blocker, code: "malformed-offer", role: .destination, what: "read the offer",
                    why: "it names two containers, \(offer.container.id) and \(facts.container.id)"))
        }
        let folders = Attempt.Folders(
            volatile: Places.volatile(migration), durable: Places.durable(migration),
            images: Places.images(migration, whole: nil))
        let bundle = try OCIBundle(path: offer.container.bundle, configuration: Array(offer.container.config.utf8))
        let cgroup = HostSurvey.cgroup(of: bundle.config, container: offer.container.id)
        let engine = RuncRuntime(root: facts.runtimeRoot)
        findings += CgroupPlace(path: cgroup).findings(isKnown: FileIO.exists(engine.folder(of: offer.container.id)))
        let recovery = RecoveryFacts(
            engine: offer.container.engine, bundle: offer.container.bundle, cgroup: cgroup, session: folders.volatile, pid: nil,
            startTime: nil, boot: bootID(), keepSource: offer.options.keepSource)
        courtesy.set(min(max(offer.options.nice, 0), 19))
        attempt.withLock { attempt in
            attempt.offer = offer
            attempt.facts = facts
            attempt.folders = folders
            attempt.bundle = bundle
            attempt.site = Site(cgroup: cgroup, container: offer.container.id, runtimeRoot: facts.runtimeRoot)
        }
        mailbox.post(.checked(Findings(destination: host, findings: findings), recovery))
    }

    func prepare(_ order: PrepareOrder) throws {
        let (offer, facts, before) = try known()
        var folders = before
        folders.images = Places.images(migration, whole: order.ways.fillsImages ? offer.container.memory : nil)
        for folder in [folders.images, folders.work] { try Places.make(folder) }
        try FileIO.writeAtomically(JSON.encode(offer), to: "\(folders.volatile)/offer.json")
        let place = try room.kind(for: offer.container.memory)
        if case .spill(let folder) = place {
            logLine("session \(migration): memory is short: pages lie in \(folder) until they are in place")
        }
        let store = try PageStore(
            kind: place,
            // The container may grow while it is copied; what is beyond a doubling does not converge anyway.
            capacity: ByteCount(offer.container.memory.rawValue * 2) + .gibibytes(1))
        let spaces = attempt.withLock { $0.spaces }
        let server =
            !order.ways.isLazy
            ? nil
            : try FaultServer(
                store: store, folder: folders.work, spaceOf: { spaces.space(of: $0) },
                onMissing: { [weak self] space, run in self?.askForPages(space, run) },
                events: { [weak self] in self?.heard($0) })
        if let keeper = attempt.withLock({ $0.keeperLink }) { server?.attach(keeper) }
        let images = try ImageReceiver(folder: folders.images)
        startMarks(order.streams)
        let notes = folders.volatile
        var places: [BundleKeeper.Made] = []
        for folder in facts.folders { places.append(try BundleKeeper().make(folder)) }
        try makeTmpfs(facts)
        try FileIO.writeAtomically(JSON.encode(places), to: "\(notes)/places.json")
        let network = try NetworkPreparation(facts.container.network) { made in
            // What is made is noted before it is made: a session that takes over removes exactly this.
            try? FileIO.writeAtomically(JSON.encode(made), to: "\(notes)/network.json")
        }
        attempt.withLock { attempt in
            (attempt.order, attempt.folders) = (order, folders)
            attempt.streams = order.streams
            (attempt.store, attempt.server, attempt.images) = (store, server, images)
            (attempt.places, attempt.network) = (places, network)
            attempt.frames = FrameInbox(network)
            attempt.filePages = order.ways.carriesFilePages ? FilePages(store: store, folder: folders.images) : nil
            attempt.commonPages = order.ways.carriesFilePages ? CommonPages(store: store, areas: commonAreas) : nil
        }
        mailbox.post(.prepared(Prepared(rootfs: offer.container.rootfs, takesAddresses: facts.container.network.kind == .named)))
    }

    private func startMarks(_ streams: Int) {
        marks.withLock {
            $0 = LandingMarks(streams: streams) { [weak self] token in
                guard let self, token != LandingMarks.final else { return }
                if LandingMarks.isComparison(token) {
                    for message in attempt.withLock({ $0.comparison })?.takeMessages() ?? [] { link.send(message) }
                }
                link.send(.roundMark(RoundMark(round: Int(token), streamMarks: [], landed: true)))
            }
        }
    }

    /// The link was lost while the source copied: what is left of its connections ends, and new ones may come.
    func resume(_ resumption: Resumption) throws {
        let (store, streams, receivers, files) = attempt.withLock { ($0.store, $0.streams, $0.receivers, $0.files) }
        guard let store else { throw TransferProblem("nothing was prepared that could go on") }
        // From here on an earlier connection's end is no loss; none may land anything behind what comes next.
        intake.begin()
        link.closeStreams()
        for receiver in receivers { receiver.stop() }
        for run in files { run.cancel() }
        guard intake.waitUntilIdle(within: Self.idleLimit) else {
            throw TransferProblem("earlier connections did not end within \(Self.idleLimit)")
        }
        // One that was being made meanwhile was not among them.
        for receiver in attempt.withLock({ $0.receivers }) { receiver.stop() }
        startMarks(streams)
        attempt.withLock { attempt in
            (attempt.receivers, attempt.files) = ([], [])
            attempt.comparison = resumption.seed.map { HeldPages(seed: $0, store: store, shared: shared) }
        }
        mailbox.post(.resumed(resumption.number))
    }

    /// For what was read already to be put in its place.
    private static let idleLimit = Duration.seconds(30)

    func adoptData(_ connection: Connection, _ stream: Int, _ generation: Int) throws {
        let (store, images, streams, frames) = attempt.withLock { ($0.store, $0.images, $0.streams, $0.frames) }
        link.add(connection, stream: stream, of: streams)
        if stream == LinkProbe.stream { return LinkProbe.receive(connection) }
        // A session that took over in the fill still takes pages that stayed behind, and nothing else.
        guard let store, stream <= streams else {
            throw TransferProblem("data stream \(stream) came before anything was prepared for it")
        }
        let (files, common, comparison) = attempt.withLock { ($0.filePages, $0.commonPages, $0.comparison) }
        let sink = StoreSink(
            stream: stream, store: store, shared: shared, images: images, frames: frames, marks: marks.withLock { $0 },
            files: files, common: common, comparison: comparison)
        guard intake.enter(generation) else { return connection.close() }
        _ = DataReceiver(connection, sink: sink) { [weak self] error in
            guard let self, intake.leave(generation), let error else { return }
            let problem = Problem.of(error, what: "receive pages")
            // What can't be taken comes again over every connection.
            if case .frame = error { mailbox.post(.failed(.receive, problem)) }
            mailbox.post(.peerLost(problem))
        }
    }

    func adoptFiles(_ connection: Connection, stream: Int, _ generation: Int) throws {
        link.add(connection)
        let (_, facts, attempted) = try known()
        let folders = facts.folders + facts.container.tmpfs.indices.map { Places.tmpfs(migration, $0) }
        if stream == Tunnel.pageServer { return try startPageServer(connection, attempted) }
        guard let part = FileDestination.Part(stream: stream) else { throw TransferProblem("there is no files stream \(stream)") }
        // Until the receiver is noted or the program runs: who ends what is there waits for this.
        guard intake.enter(generation) else { return connection.close() }
        var isDone = true
        defer { if isDone { _ = intake.leave(generation) } }
        let end = try Tunnel.open(connection)
        if part == .native {
            let receiver = try FileReceiver(into: folders, over: end)
            attempt.withLock { $0.receivers.append(receiver) }
            return
        }
        let run = try FileDestination.receive(part, into: folders, over: end)
        attempt.withLock { $0.files.append(run) }
        // rsync's own goodbye tells the source how it ended; here the end is only reaped.
        _ = try Host.Thread(named: "rsync") { [migration, intake] in
            defer { _ = intake.leave(generation) }
            do { _ = try run.finish(vanishedIsFine: true, until: nil) } catch { logLine("session \(migration): files: \(error)") }
        }
        isDone = false
    }

    /// The container's own tmpfs, which the files fill and the restore takes.
    private func makeTmpfs(_ facts: SourceFacts) throws {
        for (number, tmpfs) in facts.container.tmpfs.enumerated() {
            guard tmpfs.isSound else { throw TransferProblem("a tmpfs at \(tmpfs.point) that can't be") }
            let folder = Places.tmpfs(migration, number)
            try Places.make(folder)
            try TmpfsPlace.make(tmpfs, at: folder)
        }
    }

    /// CRIU at the source sends its pages to a CRIU here, through this connection.
    private func startPageServer(_ connection: Connection, _ folders: Attempt.Folders) throws {
        guard try ways().dump == .pageServer else { throw TransferProblem("pages came for a page server that was not ordered") }
        try make {
            guard attempt.withLock({ $0.pageServer }) == nil else { throw TransferProblem("there is a page server already") }
            let end = try Tunnel.open(connection)
            let server = try PageServer(socket: end.raw, imagesDirectory: folders.images, workDirectory: folders.work)
            attempt.withLock { $0.pageServer = server }
        }
    }

    func startRestore() throws {
        let (offer, facts, folders) = try known()
        guard let library = CriuShim.findLibrary() else {
            throw TransferProblem("libmartlet-criu.so is not installed beside the program")
        }
        let shim = try CriuShim(creating: folders.shim, library: library, tar: CriuShim.findLibrary("martlet-tar"))
        // The bundle as the files brought it: runc reads the same file.
        let bundle = try OCIBundle(path: offer.container.bundle)
        try FileIO.writeAtomically(facts.streams.descriptorsFile, to: "\(folders.images)/descriptors.json")
        var request = RestoreRequest(
            runtime: RuncRuntime(root: facts.runtimeRoot), id: offer.container.id, bundle: bundle,
            imagesDirectory: folders.images, workDirectory: folders.work, shim: shim, streams: facts.streams,
            configuration: facts.configuration)
        request.isLazy = try ways().isLazy
        request.mounts = facts.container.tmpfs.enumerated().map { .init(key: $1.point, value: Places.tmpfs(migration, $0)) }
        // A restore from images reads all memory: 0.7 s/GB measured on an idle host; twice that and more before it is given up.
        if !request.isLazy { request.restoreLimit += .milliseconds(2 * offer.container.memory.rawValue >> 20) }
        request.choices.tcpClose = facts.wishes.connections != .keep
        try CgroupPlace(path: HostSurvey.cgroup(of: bundle.config, container: offer.container.id)).clear()
        let runner = try RestoreRunner.start(request)
        PageCache.read(Array(Set(facts.container.processes.flatMap(\.mappedFiles))), inRoot: bundle.rootPath)
        PageCache.read(mappedBy: [getpid()])
        for stream in runner.substitutedStreams { logLine("session \(migration): \(stream)") }
        attempt.withLock { ($0.shim, $0.runner) = (shim, runner) }
        try watch(runner)
    }

    /// Turns the restore's events into the machine's.
    private func watch(_ runner: RestoreRunner) throws {
        _ = try Host.Thread(named: "restore-events") { [self] in
            var stageBegan = MonotonicInstant.now.nanoseconds
            var isReady = false
            while let event = runner.events.next() {
                switch event {
                case .held(let cgroup):
                    runner.readPrograms()
                    do { try attempt.withLock { $0.filePages }?.build() } catch {
                        return mailbox.post(
                            .failed(.restore, Problem.of(error, what: "write pages of file mappings at the destination")))
                    }
                    // Without them processes have pages of their own: more memory, and nothing else.
                    do { try attempt.withLock { $0.commonPages }?.build(runner) } catch {
                        logLine("session \(migration): pages that processes have in common: \(error)")
                    }
                    if let cgroup { noteCgroup(cgroup) }
                    mailbox.post(.restoreHeld)
                case .stage(let name):
                    logLine("session \(migration): criu at \(name)")
                    // The first stage begins where the restore was released.
                    let released = restoreReleasedAt.load(ordering: .relaxed)
                    steps.note("criu: to \(name)", since: max(stageBegan, released))
                    stageBegan = MonotonicInstant.now.nanoseconds
                case .ready:
                    steps.note("criu: to the frozen tasks", since: stageBegan)
                    isReady = true
                    do { try shared.restored(attempt.withLock { $0.sharedObjects }) } catch {
                        return mailbox.post(.failed(.restore, Problem.of(error, what: "let go of System V segments")))
                    }
                    mailbox.post(.restored)
                    watchExit()
                case .finished: return
                case .failed(let error):
                    if attempt.withLock({ $0.discarding }) { return }
                    guard isReady else {
                        return mailbox.post(
                            .failed(.restore, Problem.of(error, what: "restore the container at the destination")))
                    }
                    logLine("session \(migration): after the restore: \(error)")
                    return copyDied(surely: attempt.withLock { $0.site }?.liveness == .gone)
                }
            }
        }
    }

    /// The cgroup in which runc put the restore: where the container will be. Noted for a session that takes over.
    private func noteCgroup(_ path: String) {
        guard let (offer, facts, folders) = try? known() else { return }
        attempt.withLock { $0.site = Site(cgroup: path, container: offer.container.id, runtimeRoot: facts.runtimeRoot) }
        try? FileIO.writeAtomically(Array(path.utf8), to: "\(folders.volatile)/cgroup")
    }

    /// Nothing of the container's passes here until the release, but its address already belongs here: see `Announcer`.
    func takeAddress() throws { try attempt.withLock { $0.network }?.close() }

    /// The ways that the source ordered.
    func ways() throws(TransferProblem) -> Ways {
        guard let order = attempt.withLock({ $0.order }) else { throw TransferProblem("nothing was prepared") }
        return order.ways
    }

    func known() throws(TransferProblem) -> (Offer, SourceFacts, Attempt.Folders) {
        let (offer, facts, folders) = attempt.withLock { ($0.offer, $0.facts, $0.folders) }
        guard let offer, let facts, let folders else { throw TransferProblem("nothing is known of the container yet") }
        return (offer, facts, folders)
    }
}
