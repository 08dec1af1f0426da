import Glibc
public import Model
import Containers
import Host
import Pages
import Plan
import Wire

/// The processes that Martlet starts for itself.
public enum Helper {
    /// How long a session waits for its first control connection to be accepted: a peer that can't show a certificate must
    /// not leave processes behind.
    private static let greeting = Duration.seconds(10)

    /// One migration's destination (decision 0004).
    /// - Parameters:
    ///   - door: descriptor of the listening socket by which connections come.
    ///   - room: where pages may lie.
    public static func session(_ migration: MigrationID, door: Int32, room: StoreRoom) throws {
        let records = JournalFile.read(migration, .destination)
        try serve(migration, door: UnixSocket(OwnedDescriptor(taking: door)), records: records, server: nil, room: room)
    }

    /// As many as `--streams` allows.
    private static let mostStreams = 64

    /// Holds what must not be lost while the session lives; becomes the session when that dies.
    public static func keeper(_ migration: MigrationID, link: Int32, door: Int32) throws {
        let mailbox = Mailbox<FaultServerEvent>()
        let wanted = Mailbox<(SpaceID, PageRun)>()
        let outcome = try Keeper.run(
            connection: UnixSocket(OwnedDescriptor(taking: link)), onMissing: { wanted.post(($0, $1)) },
            events: { mailbox.post($0) })
        let records = JournalFile.read(migration, .destination)
        switch outcome {
        case .released: return
        case .nothingToKeep:
            guard let last = records.last, ![.done, .aborted].contains(last.kind) else {
                // A session that was killed before it had anything: nobody else knows of its door.
                unlink(Places.door(migration))
                return
            }
            try serve(migration, door: UnixSocket(OwnedDescriptor(taking: door)), records: records, server: nil)
        case .tookOver(let server):
            logLine(
                "keeper of \(migration): the session died; taking over after \(records.last.map { $0.kind.rawValue } ?? "nothing")"
            )
            try serve(
                migration, door: UnixSocket(OwnedDescriptor(taking: door)), records: records, server: server, heard: mailbox,
                wanted: wanted)
        }
    }

    private static func serve(
        _ migration: MigrationID, door: consuming UnixSocket, records: [JournalRecord], server: FaultServer?,
        heard: Mailbox<FaultServerEvent>? = nil, wanted: Mailbox<(SpaceID, PageRun)>? = nil,
        room: StoreRoom = StoreRoom(spillFolder: nil)
    ) throws {
        let mailbox = Mailbox<DestinationEvent>()
        var attempt = Attempt()
        (attempt.server, attempt.store) = (server, server?.store)
        // How many the source has is not known any more; it uses two for the pages that stayed behind.
        if server != nil { attempt.streams = Self.mostStreams }
        if let opened = records.first(where: { $0.kind == .opened }), let recovery = opened.recovery {
            attempt.recover(opened, recovery)
        }
        let site = attempt.site
        let doorCopy = SharedDescriptor(try door.descriptor.duplicate())
        let doers = DestinationDoers(
            migration: migration, mailbox: mailbox, credentials: Result { try Credentials() }, attempt: attempt, door: doorCopy,
            room: room,
            isFresh: records.isEmpty)
        if let heard { _ = try Host.Thread(named: "heard") { while let event = heard.next() { doers.heard(event) } } }
        if let wanted {
            _ = try Host.Thread(named: "wanted") { while let (space, run) = wanted.next() { doers.askForPages(space, run) } }
        }
        try SessionDoor(
            door, onConnection: { doers.adopt($0, $1, $2) }, onOrder: { _ in mailbox.post(.runHere) }
        ).serve()
        try doers.startKeeper()
        Interrupts.take().deliver { mailbox.post(.interrupted) }
        let runner = DestinationRunner(mailbox: mailbox, doers: doers, name: "session \(migration)")
        let ending: Ending
        if let machine = DestinationMachine(recovering: records, container: site?.liveness ?? .gone) {
            ending = runner.run(machine)
        } else {
            ending = runner.run(DestinationMachine(migration: migration, peer: "source"), greeting: greeting)
        }
        doers.dismissKeeper()
        unlink(Places.door(migration))
        logLine("session \(migration): \(ending.outcome)\(ending.problem.map { ": \($0.what): \($0.why)" } ?? "")")
        // Of what was refused nothing stays, not even words.
        if (try? FileIO.list(Places.durable(migration))) == [Places.sessionLogName] { Places.remove(Places.durable(migration)) }
        History.trim()
        // The last message must leave before the process does.
        doers.link.close(ending.problem?.why ?? "done")
        sleepThread(.milliseconds(50))
    }

    /// Settles a migration whose `martlet migrate` ended without a word.
    public static func guardian(_ migration: MigrationID, ward: Int32) throws {
        guard Guardian.watch(OwnedDescriptor(taking: ward)) else { return }
        logLine("guardian of \(migration): martlet migrate died; settling")
        _ = Recovery.settleSource(migration, runHere: false, reporter: LogReporter(prefix: "guardian of \(migration)"))
    }
}

extension Attempt {
    /// What a process that took over knows: the journal's facts, and what the session noted in its runtime folder.
    mutating func recover(_ opened: JournalRecord, _ recovery: RecoveryFacts) {
        let folders = Folders(
            volatile: recovery.session, durable: Places.durable(opened.migration),
            images: Places.images(opened.migration, whole: nil))
        self.folders = folders
        let noted = try? FileIO.readLine("\(folders.volatile)/cgroup")
        var root = "/run/runc"
        if let bytes = try? FileIO.read("\(folders.volatile)/offer.json"), let offer = try? JSON.decode(Offer.self, from: bytes) {
            self.offer = offer
            facts = try? JSON.decode(SourceFacts.self, from: Array(offer.facts.utf8))
            root = facts?.runtimeRoot ?? root
        }
        site = Site(cgroup: noted ?? recovery.cgroup, container: opened.container, runtimeRoot: root)
    }
}
