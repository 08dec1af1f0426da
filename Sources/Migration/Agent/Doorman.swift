import Glibc
import Host
import Model
import Plan
import Wire

/// Hands a connection to the session process of its migration, which is started if there is none: the work of the agent, and of the
/// process that ssh starts.
struct Doorman: Sendable {
    /// Where the sessions that it starts may put pages.
    let room: StoreRoom
    /// Environment of the sessions; nil hands on our own.
    var environment: [String]?
    /// Where a session's words go: our own standard error, or a file.
    var log: @Sendable (MigrationID) throws -> SharedDescriptor?

    /// Only a control connection starts a session.
    /// - Throws: `Refusal` for the peer, or what failed.
    func pass(_ connection: SharedDescriptor, _ preamble: Preamble, _ transport: Transport) throws {
        let migration = preamble.migration
        let message = preamble.encoded + transport.mark
        // One at a time, on the whole host, so that two connections of one migration don't start two sessions.
        try alone {
            if let door = try? UnixSocket.connect(to: Places.door(migration), .stream) {
                return try door.send(message, descriptors: [connection.raw])
            }
            guard preamble.role == .control else { throw Refusal(.unknownMigration, note: "no such session") }
            try start(migration).send(message, descriptors: [connection.raw])
        }
    }

    private func alone(_ body: () throws -> Void) throws {
        let lock = try OwnedDescriptor(opening: Places.sessions, flags: O_RDONLY | O_DIRECTORY)
        flock(lock.raw, LOCK_EX)
        defer { flock(lock.raw, LOCK_UN) }
        try body()
    }

    /// Starts a session process. Its door is opened here and handed down, so that nothing races with its start.
    /// - Parameter again: whether another one follows if this one is killed and leaves something to settle. Not for the second: what
    ///   killed it might kill all.
    func start(_ migration: MigrationID, again: Bool = true) throws -> UnixSocket {
        let path = Places.door(migration)
        unlink(path)
        try room.prepare()
        let door = try UnixSocket.listen(at: path, .stream)
        let log = try log(migration)
        var spawn = Spawn(
            Places.program, ["internal-session", "\(migration)"] + (room.spillFolder.map { ["--spill", $0] } ?? []))
        spawn.descriptors = [2: log?.raw ?? 2, 3: door.descriptor.raw]
        spawn.newSession = true
        spawn.environment = environment
        let child = try spawn.start()
        let id = migration
        _ = try Thread(named: "reap") {
            let status = try? child.wait()
            logLine("session \(id) ended: \(status.map { "\($0)" } ?? "unknown")")
            try? alone {
                // A killed session's keeper listens at the same door; without one the door leads nowhere. So does a session that came since.
                guard (try? UnixSocket.connect(to: path, .stream)) == nil else { return }
                unlink(path)
                // The source may have ended already: nobody would come and ask.
                guard again, case .signaled = status, JournalFile.open(id, .destination) != nil else { return }
                logLine("session \(id) was killed: another one settles what it left")
                _ = try start(id, again: false)
            }
        }
        return try UnixSocket.connect(to: path, .stream)
    }
}

/// What a connection runs over, as the session is told by whoever hands it over.
enum Transport: Sendable {
    /// TLS is to be done, with a certificate of the authority.
    case tcp
    /// ssh has done all that.
    case ssh

    /// Behind the preamble, at the door.
    var mark: [UInt8] { self == .ssh ? [0x53] : [] }

    /// - Parameter count: bytes that came at the door.
    init?(marks: ArraySlice<UInt8>) {
        switch Array(marks) {
        case Transport.tcp.mark: self = .tcp
        case Transport.ssh.mark: self = .ssh
        default: return nil
        }
    }
}

extension Refusal: Error {}
