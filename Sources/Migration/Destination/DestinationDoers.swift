import Containers
import Glibc
import Host
import Model
import Pages
import Plan
import Synchronization
import Wire

/// Carries out what `DestinationMachine` decides. One function an action; each ends with its event or with `failed`.
///
/// What exists so far of an attempt lives in `Attempt`; a session that takes over has only what the journal and the
/// runtime folder tell (`Attempt.recovered`).
final class DestinationDoers: Sendable {
    let migration: MigrationID
    let mailbox: Mailbox<DestinationEvent>
    let link: DestinationLink
    let attempt: Mutex<Attempt>
    /// Or why this host has none, which matters to connections that need TLS.
    let credentials: Result<Credentials, any Error>
    let steps = StepLog()
    let courtesy = Courtesy(0)
    /// As the source told them.
    let commonAreas = Monitor<[CommonArea]?>(nil)
    /// Shared memory, in place before the restore.
    let shared = SharedStore()
    /// Held while something is made that `discard` removes: it waits for what is in flight, and nothing is made behind it.
    let making = Mutex<Void>(())
    let restoreReleasedAt = Atomic<Int64>(0)
    private let journal = Mutex<JournalFile?>(nil)
    /// Bytes that came on streams of which the source sent the last mark.
    let marks: Mutex<LandingMarks?> = Mutex(nil)
    /// Who takes what comes over connections of the attempt.
    let intake = Intake()

    /// The door's listening socket, handed on to each keeper.
    private let door: SharedDescriptor
    let room: StoreRoom
    /// No journal: nothing of this migration is on this host yet.
    private let isFresh: Bool
    private let keeper = Mutex<ChildProcess?>(nil)

    init(
        migration: MigrationID, mailbox: Mailbox<DestinationEvent>, credentials: Result<Credentials, any Error>, attempt: Attempt,
        door: SharedDescriptor, room: StoreRoom, isFresh: Bool
    ) {
        (self.migration, self.mailbox, self.credentials, self.door) = (migration, mailbox, credentials, door)
        (self.room, self.isFresh) = (room, isFresh)
        link = DestinationLink(
            mailbox: mailbox, onShared: { [shared] in try shared.describe($0) },
            onCommon: { [commonAreas] areas in commonAreas.withLock { $0 = areas } })
        self.attempt = Mutex(attempt)
        Fault.register(.cutLink) { [link] in link.close("fault") }
        Fault.register(.killKeeper) { [self] in _ = try? keeper.withLock { $0 }?.kill(SIGKILL) }
        // The agent is this session's parent: it starts no other.
        Fault.register(.killAgent) { if getppid() > 1 { kill(getppid(), SIGKILL) } }
        Fault.register(.killCriu) { [self] in
            guard let pid = criuPID(), let process = try? Pidfd(pid: pid) else { return }
            kill(pid, SIGKILL)
            // What comes after the fault finds it done.
            _ = try? Poll.wait(process.descriptor.raw, for: .input, until: .now + .seconds(5))
        }
    }

    /// Starts the process that takes over if this one dies, and gives it what there is to be kept.
    func startKeeper() throws(SystemError) {
        var ends: [Int32] = []
        try UnixSocket.pair(.messages).split { first, second in
            ends = [first.takeDescriptor().release(), second.takeDescriptor().release()]
        }
        let theirs = OwnedDescriptor(taking: ends[1])
        let ours = KeeperLink(UnixSocket(OwnedDescriptor(taking: ends[0])))
        var spawn = Spawn(Places.program, ["internal-keeper", "\(migration)"])
        spawn.descriptors = [2: 2, 3: theirs.raw, 4: door.raw]
        spawn.newSession = true
        let child = try spawn.start()
        keeper.withLock { $0 = child }
        let server = attempt.withLock { attempt in
            attempt.keeperLink = ours
            return attempt.server
        }
        server?.attach(ours)
        _ = try Host.Thread(named: "keeper") { [self] in
            // One that was sent away ends well.
            if let status = try? child.wait(), status.isSuccess { return }
            let isCurrent = keeper.withLock { $0 === child }
            let isOver = attempt.withLock { $0.ending || $0.server?.isKeeperReleased ?? false }
            if isCurrent, !isOver { keeperLost() }
        }
    }

    func keeperLost() {
        logLine("session \(migration): the keeper died; starting another")
        do { try startKeeper() } catch { logLine("session \(migration): start a keeper: \(error)") }
    }

    /// Takes leave of the keeper: nothing is left to be kept.
    func dismissKeeper() {
        attempt.withLock { ($0.ending, $0.keeperLink) = (true, nil) }
        let child = keeper.withLock { keeper in
            defer { keeper = nil }
            return keeper
        }
        _ = try? child?.kill(SIGKILL)
        _ = try? child?.wait(until: .now + .seconds(5))
    }

    /// The CRIU of the restore, for fault tests.
    private func criuPID() -> Int32? {
        guard let cgroup = attempt.withLock({ $0.site?.cgroup }) else { return nil }
        return (try? cgroup.processes())?.first { (try? ProcessStat.of(pid: $0))?.command.hasPrefix("criu") ?? false }
    }

    func askForPages(_ space: SpaceID, _ run: PageRun) {
        link.send(.wanted(PageRequest(space: space, start: run.start, count: run.count)))
    }

    /// Whether the freeze is one of milliseconds, in which this process may go before all others.
    var isShort: Bool { attempt.withLock { $0.order?.ways.isLazy ?? false } }

    func perform(_ action: DestinationAction) {
        if Fault.hangs, !action.undoes { return }
        switch action {
        case .send(let message): link.send(message)
        case .journal(let record): write(record)
        case .check(let offer): work("check", .check) { try self.check(offer) }
        case .prepare(let order): work("prepare", .prepare) { try self.make { try self.prepare(order) } }
        case .resume(let resumption): work("resume", .resume) { try self.resume(resumption) }
        case .startRestore: work("standby", .startRestore) { try self.make { try self.startRestore() } }
        case .takeAddress: work("address", .restore) { try self.takeAddress() }
        case .releaseRestore(let shipped): work("restore", .restore) { try self.releaseRestore(shipped) }
        case .thaw: work("thaw", .thaw) { try self.thaw() }
        case .startFill: work("fill", .fill) { try self.startFill() }
        case .discard: work("discard", .discard) { try self.discard() }
        case .clean: work("clean", .clean) { try self.clean() }
        case .enter, .note, .startTimer, .stopTimer, .finish: break  // the runner's own
        }
    }

    func make(_ body: () throws -> Void) throws {
        try making.withLock { _ in
            guard !attempt.withLock({ $0.discarding }) else { return }
            try body()
        }
    }

    /// Runs a step on a thread of its own; an error becomes the step's `failed`.
    private func work(_ name: String, _ step: DestinationStep, _ body: @escaping @Sendable () throws -> Void) {
        do {
            _ = try Host.Thread(named: name) { [self] in
                do {
                    if ![.discard, .clean].contains(step) { try Fault.check() }
                    try body()
                } catch {
                    mailbox.post(.failed(step, Problem.of(error, what: "\(step.words) at the destination")))
                }
            }
        } catch {
            mailbox.post(.failed(step, Problem.of(error, what: step.words)))
        }
    }

    private func write(_ record: JournalRecord) {
        do {
            try Fault.check(.destination, writing: record.kind)
            let file = try journal.withLock { file throws(SystemError) in
                if file == nil { file = try JournalFile(migration, .destination) }
                return file
            }
            try steps.time("journal `\(record.kind.rawValue)`") { try file?.append(record) }
            mailbox.post(.journalWritten(record.kind))
        } catch {
            mailbox.post(
                .failed(
                    .journal(record.kind), Problem.of(error, what: "write `\(record.kind.rawValue)` to the destination's journal")
                ))
        }
    }

    /// A connection that was handed over.
    func adopt(_ descriptor: SharedDescriptor, _ preamble: Preamble, _ transport: Transport) {
        let generation = intake.generation
        do {
            if transport == .ssh { link.noteEntrance(of: descriptor) }
            let connection = try Acceptor.adopt(
                try descriptor.duplicate(), preamble: preamble, credentials: transport == .ssh ? nil : try credentials.get())
            switch preamble.role {
            case .control:
                link.take(connection)
                // Requests of before may have been lost with the connection on which they were said.
                attempt.withLock { $0.server }?.askAgain()
            case .data: try adoptData(connection, Int(preamble.stream), generation)
            case .files: try adoptFiles(connection, stream: Int(preamble.stream), generation)
            }
        } catch {
            logLine("session \(migration): a connection of role \(preamble.role): \(error)")
            // Whoever made us start can't show a certificate: nobody else knows of this migration.
            if isFresh, preamble.role == .control, !link.wasTaken {
                mailbox.post(.peerLost(Problem.of(error, what: "receive a container")))
            }
        }
    }
}

extension DestinationAction {
    /// What must work even while a fault holds everything else.
    fileprivate var undoes: Bool {
        switch self {
        case .discard, .clean, .journal, .send: true
        default: false
        }
    }
}

extension DestinationStep {
    /// For people: what was tried.
    var words: String {
        switch self {
        case .check: "look for what stands in the way"
        case .prepare: "prepare to receive"
        case .receive: "take what comes"
        case .resume: "go on after a loss of the link"
        case .startRestore: "start the restore"
        case .restore: "restore the container"
        case .thaw: "let the container run"
        case .fill: "complete the memory"
        case .discard: "remove the copy"
        case .clean: "clear up"
        case .journal(let kind): "write `\(kind.rawValue)` to the journal"
        }
    }
}

extension Problem {
    /// Any error of the lower rooms as the three fields that a person reads.
    static func of(_ error: any Error, what: String) -> Problem {
        switch error {
        case let error as SystemError: Problem(what: what, why: "\(error)", hint: error.hint ?? "")
        case let error as WireError: Problem(what: what, why: "\(error)", hint: error.hint)
        case let error as Problem: error
        default: Problem(what: what, why: "\(error)")
        }
    }
}
