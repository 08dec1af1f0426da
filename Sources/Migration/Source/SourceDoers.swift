import Containers
import Host
import Model
import Plan
import Synchronization
import Wire

/// Carries out what `SourceMachine` decides. One function an action; each ends with its event or with `failed`.
///
/// A fresh attempt has `memory`, `dump` and `files`; a recovering one has only its site and its link, and whatever else is
/// asked of it is not there to be done.
final class SourceDoers: Sendable {
    let migration: MigrationID
    let mailbox: Mailbox<SourceEvent>
    let link: SourceLink
    let site: Site
    let parts: Parts?
    let steps: StepLog
    let courtesy: Courtesy
    private let journal = Mutex<JournalFile?>(nil)
    /// Sends what the dump has written so far; kept to the end, see there.
    private let images = Mutex<ImageSender?>(nil)
    /// The link's generation for which a recovered `RestServer` was made.
    private let served = Atomic<Int>(0)
    /// The link's generation at the freeze: those who froze know their connections.
    private let frozenGeneration = Atomic<Int>(0)
    /// Kept until the end: what it has queued is on its way.
    private let rest = Mutex<RestServer?>(nil)

    /// What a fresh attempt works with.
    struct Parts: Sendable {
        var memory: SourceMemory
        var dump: SourceDump
        var files: SourceFiles
        var network: NetworkCut
        var facts: SourceFacts
        var freezer: CgroupFreezer
        var throttle: ProcessorThrottle
        /// Tells when the container ends by itself.
        var exit: ExitWatch
        var note: @Sendable (String) -> Void
    }

    init(
        migration: MigrationID, mailbox: Mailbox<SourceEvent>, link: SourceLink, site: Site, parts: Parts?, nice: Int = 0
    ) {
        courtesy = Courtesy(nice)
        steps = parts?.memory.steps ?? StepLog()
        (self.migration, self.mailbox, self.link, self.site, self.parts) = (migration, mailbox, link, site, parts)
        Fault.register(.cutLink) { link.breakOff() }
        if let parts { Fault.register(.killCriu) { parts.dump.kill() } }
    }

    /// Whether the freeze is one of milliseconds, in which this process may go before all others.
    var isShort: Bool { parts?.dump.hidesMemory ?? false }

    func perform(_ action: SourceAction) {
        if Fault.hangs, !action.undoes { return }
        switch action {
        case .take(let ways):
            now(.startCriu) {
                try $0.memory.take(ways)
                $0.dump.take(ways)
            }
        case .connect: background("dial") { self.link.dial() }
        case .hangUp: link.hangUp()
        case .send(let message):
            if case .prepare(let order) = message { parts?.memory.carry(over: order.streams) }
            link.send(message)
        case .journal(let record): write(record)
        case .syncFiles:
            step("files", .syncFiles, courtesy.priority) {
                let files = $0.files
                try self.orCutShort(.syncFiles) {
                    try self.steps.time("files") { try files.sync() }
                    self.mailbox.post(.filesSynced)
                }
            }
        case .throttle(let step): throttle(step)
        case .startRound(let number):
            step("round", .round, courtesy.priority) {
                let throttle = $0.throttle, start = throttle.moment(), memory = $0.memory
                try self.orCutShort(.round) {
                    var report = try memory.round(number)
                    report.processors = throttle.processors(since: start).map { ($0 * 1000).rounded() / 1000 }
                    self.mailbox.post(.roundFinished(report))
                }
            }
        case .startCriu:
            step("criu", .startCriu) {
                // A loss is told by its own event; the next round opens the streams anew.
                do { try $0.memory.standBy() } catch { guard self.link.isLoss(error) else { throw error } }
                try $0.dump.start()
                $0.memory.awaitWarmth()
                self.mailbox.post(.criuHeld)
            }
        case .cutNetwork:
            step("hold", .cutNetwork) {
                let network = $0.network
                let left = try self.steps.time("hold newcomers") { try network.hold() }
                if !left.isEmpty { self.note(left) }
                self.mailbox.post(.networkCut)
            }
        case .freeze:
            now(.freeze) {
                self.frozenGeneration.store(self.link.generation, ordering: .relaxed)
                $0.files.containerStops()
                // CRIU's parasites run as the container's tasks; and a task that waits for its quota freezes late.
                let throttle = $0.throttle
                if throttle.isOn { try self.steps.time("give processors back") { try throttle.giveBack() } }
                try $0.freezeSeizable()
                try $0.network.cut()
                self.mailbox.post(.frozen)
            }
        case .releaseCriu:
            step("criu", .dump) {
                $0.memory.leaveStandBy()
                try self.sendImagesAhead($0)
                try $0.dump.release(self.steps, without: $0.memory.sealShared())
                self.mailbox.post(.dumped)
            }
        case .sendFinalPages(let pass):
            step("final", .finalPages) {
                try $0.memory.finalPass(pass)
                self.mailbox.post(.finalPagesSent)
            }
        case .refreeze:
            now(.refreeze) {
                try $0.freezer.requestFreeze()
                try $0.dump.requireAlive()
                self.mailbox.post(.refrozen)
            }
        case .shipImages:
            step("ship", .ship) {
                self.mailbox.post(.imagesShipped(try self.ship($0)))
                self.handOn($0)
                $0.dump.checkSkeleton()
            }
        case .serveMissing: background("serve") { self.serveMissing() }
        case .rollBack(let steps): background("rollback") { self.rollBack(steps) }
        case .killSource: background("kill") { self.killSource() }
        case .clean(let keep): background("clean") { self.clean(keepContainer: keep) }
        case .enter, .note, .announce, .startTimer, .stopTimer, .finish: break  // the runner's own
        }
    }

    /// A wish: without it the rounds go on as they were.
    private func throttle(_ step: ThrottleStep) {
        guard let parts else { return }
        do { try parts.throttle.take(step) } catch { parts.note("take processor time from the container: \(error)") }
    }

    // MARK: - How steps run

    /// On the loop's own thread: steps of microseconds, for which a thread's start would be too slow.
    private func now(_ step: SourceStep, _ body: (Parts) throws -> Void) {
        do {
            try Fault.check()
            guard let parts else { return }
            try body(parts)
        } catch {
            mailbox.post(.failed(step, Problem.of(error, what: step.words)))
        }
    }

    private func step(
        _ name: String, _ step: SourceStep, _ priority: Host.Thread.Priority = .normal,
        _ body: @escaping @Sendable (Parts) throws -> Void
    ) {
        guard let parts else { return }
        background(name, priority) {
            do {
                try Fault.check()
                try body(parts)
            } catch {
                self.mailbox.post(.failed(step, Problem.of(error, what: step.words)))
            }
        }
    }

    /// Work that can be done again, after a loss of the link.
    private func orCutShort(_ step: SourceStep, _ body: () throws -> Void) throws {
        let epoch = link.epoch
        do { try body() } catch {
            // Who noticed the loss first may have dialled anew by now.
            let isLoss = link.isLoss(error) || link.epoch != epoch
            guard frozenGeneration.load(ordering: .relaxed) == 0, isLoss else { throw error }
            link.lost(Problem.of(error, what: step.words), of: epoch)
            mailbox.post(.cutShort(step))
        }
    }

    private func background(
        _ name: String, _ priority: Host.Thread.Priority = .normal, _ body: @escaping @Sendable () -> Void
    ) {
        do { _ = try Host.Thread(named: name, priority: priority, body) } catch {
            // Without threads nothing can go on; the machine hears it as the loss of the peer and rolls back.
            mailbox.post(.peerLost(Problem.of(error, what: "start a thread")))
        }
    }

    private func write(_ record: JournalRecord) {
        do {
            try Fault.check(.source, writing: record.kind)
            let file = try journal.withLock { file throws(SystemError) in
                if file == nil { file = try JournalFile(migration, .source) }
                return file
            }
            // The first trace of the attempt on this host: with it whoever recovers finds what he needs.
            if record.kind == .opened, let parts {
                try FileIO.writeAtomically(JSON.encode(parts.facts), to: Self.note(migration))
            }
            if record.kind == .running { parts?.memory.released() }
            try steps.time("journal `\(record.kind.rawValue)`") { try file?.append(record) }
            mailbox.post(.journalWritten(record.kind))
        } catch {
            mailbox.post(
                .failed(.journal(record.kind), Problem.of(error, what: "write `\(record.kind.rawValue)` to the source's journal"))
            )
        }
    }

    /// Images of a skeleton go while CRIU writes the next ones; a dump with memory keeps the link busy enough.
    private func sendImagesAhead(_ parts: Parts) throws {
        guard parts.dump.hidesMemory, parts.memory.hasStreams else { return }
        let sender = try ImageSender(folder: parts.dump.images, stream: try parts.memory.imageStream())
        try sender.runAhead()
        images.withLock { $0 = sender }
    }

    private func ship(_ parts: Parts) throws -> Shipped {
        let sent = try steps.time("send images") {
            let ahead = images.withLock { $0 }
            let folder = parts.dump.images
            return try (ahead ?? ImageSender(folder: folder, stream: try parts.memory.imageStream())).send()
        }
        let spaces = try steps.time("wait for the last pages") { try parts.memory.shippedSpaces() }
        let filesPass = try steps.time("wait for the files") { try parts.files.unanswered() }
        return Shipped(
            images: sent.files, imageBytes: ByteCount(sent.bytes), spaces: spaces,
            streamMarks: [LandingMarks.final], pagesStayBehind: parts.memory.pagesStayBehind, shared: parts.memory.sealShared(),
            filesPass: filesPass)
    }

    /// What comes for the container goes after the images, as it comes.
    private func handOn(_ parts: Parts) {
        background("frames") {
            do {
                let stream = try parts.memory.imageStream()
                try parts.network.handOn { frames in
                    for frame in frames {
                        try frame.bytes.withUnsafeBytes { try stream.packet(interface: frame.interface, bytes: $0) }
                    }
                    try stream.flush()
                }
            } catch {
                // The loss of the peer is told by its own event. Whoever sent the frames repeats them.
            }
        }
    }

    private func note(_ left: WaitingInput) {
        var words: [String] = []
        if left.connections > 0 {
            words.append("\(left.connections) new connections that it does not accept: they will be reset")
        }
        if left.datagramBytes > 0 { words.append("datagrams that it does not read: they are lost") }
        if left.handshakes > 0 { words.append("\(left.handshakes) handshakes that do not end") }
        parts?.note("the container has waiting: " + words.joined(separator: "; "))
    }

    /// By the attempt that froze them, or from what it noted.
    private func serveMissing() {
        do {
            try Fault.check()
            // After a loss of the connection, or of the process that froze them, all over again: what was sent may not
            // have arrived.
            let generation = link.generation
            if let parts, generation == frozenGeneration.load(ordering: .relaxed) { return try parts.memory.serveMissing() }
            guard served.exchange(generation, ordering: .relaxed) != generation else { return }
            let rest = try RestServer.recovered(migration, link: link)
            self.rest.withLock { $0 = rest }
            try rest.answer(link)
            try rest.sendAll()
        } catch let error as WireError {
            link.lost(Problem.of(error, what: SourceStep.serveMissing.words))
        } catch {
            mailbox.post(.failed(.serveMissing, Problem.of(error, what: SourceStep.serveMissing.words)))
        }
    }

    // MARK: - The way back, and the end

    /// What the source told of host and container: of this process, or as the one that died noted it.
    private func facts() -> SourceFacts? {
        if let parts { return parts.facts }
        guard let bytes = try? FileIO.read(Self.note(migration)) else { return nil }
        return try? JSON.decode(SourceFacts.self, from: bytes)
    }

    /// Where the facts are noted for whoever recovers.
    static func note(_ migration: MigrationID) -> String { "\(Places.durable(migration))/facts.json" }

    private func network() throws -> NetworkCut? {
        if let parts { return parts.network }
        guard let facts = facts() else { return nil }
        return try NetworkCut(facts.container.network, keepsConnections: facts.wishes.connections == .keep)
    }

    private func rollBack(_ steps: [UndoStep]) {
        for step in steps {
            do {
                switch step {
                case .abandonCriu: if let parts { parts.dump.abandon() } else { try OrphanedDump.end(of: migration) }
                case .giveProcessorsBack:
                    if let parts { try parts.throttle.giveBack() } else { try ProcessorThrottle.giveBack(of: migration) }
                case .thaw: try site.thaw()
                case .restoreNetwork: try network()?.uncut()
                case .stopTracking: parts?.memory.stop()
                }
            } catch {
                mailbox.post(.failed(.rollBack, Problem.of(error, what: "undo: \(step.rawValue)")))
                return
            }
        }
        parts?.files.containerStops()
        images.withLock { $0 }?.stop()
        Places.clear(migration)
        mailbox.post(.rolledBack)
    }

    private func killSource() {
        do {
            parts?.exit.stop()
            try Fault.check()
            try site.kill()
            if let parts { parts.dump.finish() } else { try OrphanedDump.end(of: migration) }
            mailbox.post(.sourceKilled)
        } catch {
            mailbox.post(.failed(.kill, Problem.of(error, what: "end the stopped container here")))
        }
    }

    /// The container leaves its runtime and its network; its folders stay, noted as its former home, so that it may come back
    /// with only the differences travelling.
    private func removeContainer() throws {
        try site.remove()
        guard let facts = facts() else { return }
        var network = NetworkPreparation.Made()
        if facts.container.network.kind == .named { network.namespace = facts.container.network.path }
        network.interfaces = facts.container.network.interfaces.compactMap(\.hostName)
        try NetworkPreparation.undo(network)
        for folder in facts.folders { try BundleKeeper().record(folder, container: site.container) }
    }

    private func clean(keepContainer: Bool) {
        do {
            parts?.network.release()
            parts?.memory.stop()
            if keepContainer { try site.cgroup.remove() } else { try removeContainer() }
            Places.clear(migration)
            mailbox.post(.cleaned)
        } catch {
            mailbox.post(.failed(.clean, Problem.of(error, what: "remove the container here")))
        }
    }
}

extension SourceDoers.Parts {
    /// Freezes; a task inside vfork counts as frozen and yet can't be dumped, so it gets a moment to come out of it; and one to
    /// fetch what came to its sockets at the last moment.
    fileprivate func freezeSeizable() throws {
        for _ in 0..<20 {
            try freezer.freeze()
            if UnseizableTasks.find(among: try freezer.cgroup.processes()).isEmpty, try network.isEmpty() { return }
            try freezer.thaw()
            sleepThread(.milliseconds(2))
        }
        try freezer.freeze()  // CRIU will say what it can't seize
    }
}

extension SourceAction {
    /// What must work even while a fault holds everything else.
    fileprivate var undoes: Bool {
        switch self {
        case .rollBack, .journal, .send, .connect: true
        default: false
        }
    }
}

extension SourceStep {
    /// For people: what was tried.
    var words: String {
        switch self {
        case .syncFiles: "copy the container's files"
        case .round: "copy the container's memory"
        case .startCriu: "start the dump"
        case .cutNetwork: "cut the container's network"
        case .freeze: "freeze the container"
        case .dump: "dump the container"
        case .finalPages: "send the last pages"
        case .refreeze: "freeze the container again"
        case .ship: "send the dump's images"
        case .serveMissing: "send the pages that stayed behind"
        case .rollBack: "let the container go on here"
        case .kill: "end the stopped container here"
        case .clean: "remove the container here"
        case .journal(let kind): "write `\(kind.rawValue)` to the journal"
        }
    }
}
