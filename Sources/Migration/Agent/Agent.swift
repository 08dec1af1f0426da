import Model
import Glibc
public import Host
import Plan
import Synchronization
import Wire

/// The destination's server: takes connections, reads the preamble and hands the connection to the session process of
/// its migration. It keeps no state of any migration, so that it may be restarted at any moment (decision 0004).
public final class Agent: Sendable {
    private let listener: TCPListener
    private let room: StoreRoom
    private let starting = Mutex<Void>(())
    private let greeting = Atomic<Int>(0)

    /// Connections whose preamble has not come yet. More are refused: they cost a thread each and nothing is known of them.
    private static let mostGreetings = 64
    /// A preamble is the first thing that a peer sends; over the slowest link it takes one round trip.
    private static let preambleTime = Duration.seconds(10)

    /// - Parameter room: where its sessions may put pages.
    public init(address: String, port: UInt16, room: StoreRoom) throws(SystemError) {
        self.room = room
        listener = try TCPListener(address: address, port: port)
        try Places.make(Places.sessions)
        try Places.make(Places.state)
    }

    /// Serves until the process ends.
    public func run() throws(SystemError) -> Never {
        try settleWhatIsLeft()
        while true {
            do {
                try greet(try listener.accept())
            } catch  where [EMFILE, ENFILE, ENOMEM, ENOBUFS].contains(error.errno) {
                logLine("agent: \(error)")
                sleepThread(.milliseconds(100))
            }
        }
    }

    /// Sessions of an earlier life of this host or agent are started again where their journal is open.
    private func settleWhatIsLeft() throws(SystemError) {
        for migration in JournalFile.all() {
            let records = JournalFile.read(migration, .destination)
            guard let last = records.last, last.kind != .done, last.kind != .aborted else { continue }
            if (try? UnixSocket.connect(to: Places.door(migration), .stream)) != nil { continue }
            logLine("agent: migration \(migration) of \(last.container) was interrupted after \(last.kind); starting its session")
            do {
                _ = try start(migration)
            } catch {
                logLine("agent: session of \(migration): \(error)")
            }
        }
    }

    private func greet(_ connection: consuming OwnedDescriptor) throws(SystemError) {
        let shared = SharedDescriptor(connection)
        guard greeting.add(1, ordering: .relaxed).newValue <= Self.mostGreetings else {
            greeting.subtract(1, ordering: .relaxed)
            refuse(shared, Refusal(.busy, note: "too many connections"))
            return
        }
        _ = try Thread(named: "greet") { [self] in
            defer { greeting.subtract(1, ordering: .relaxed) }
            handOver(shared)
        }
    }

    private func handOver(_ connection: SharedDescriptor) {
        var bytes: [UInt8] = []
        let deadline = MonotonicInstant.now + Self.preambleTime
        while bytes.count < Preamble.byteCount {
            guard let ready = try? Poll.wait(connection.raw, for: .input, until: deadline), !ready.isEmpty else { return }
            var chunk = [UInt8](repeating: 0, count: Preamble.byteCount - bytes.count)
            let n = read(connection.raw, &chunk, chunk.count)
            guard n > 0 else { return }
            bytes += chunk[..<n]
        }
        do {
            let preamble = try Preamble(decoding: bytes)
            try pass(connection, preamble)
        } catch let error as PreambleError {
            logLine("agent: \(peerName(of: connection.raw)): \(error)")
            refuse(connection, error.refusal)
        } catch {
            logLine("agent: \(peerName(of: connection.raw)): \(error)")
            refuse(connection, Refusal(.busy, note: "no session"))
        }
    }

    /// Gives the connection to its session, which is started if there is none. Only a control connection starts one.
    private func pass(_ connection: SharedDescriptor, _ preamble: Preamble) throws {
        let migration = preamble.migration
        // One at a time, so that two connections of one migration don't start two sessions.
        try starting.withLock { _ in
            if let door = try? UnixSocket.connect(to: Places.door(migration), .stream) {
                return try door.send(preamble.encoded, descriptors: [connection.raw])
            }
            guard preamble.role == .control else {
                return refuse(connection, Refusal(.unknownMigration, note: "no such session"))
            }
            let door = try start(migration)
            try door.send(preamble.encoded, descriptors: [connection.raw])
        }
    }

    /// Starts a session process. Its door is opened here and handed down, so that nothing races with its start.
    private func start(_ migration: MigrationID) throws(SystemError) -> UnixSocket {
        let path = Places.door(migration)
        unlink(path)
        let door = try UnixSocket.listen(at: path, .stream)
        var spawn = Spawn(
            Places.program, ["internal-session", "\(migration)"] + (room.spillFolder.map { ["--spill", $0] } ?? []))
        spawn.descriptors = [2: 2, 3: door.descriptor.raw]
        spawn.newSession = true
        let child = try spawn.start()
        let id = migration
        _ = try Thread(named: "reap") {
            let status = try? child.wait()
            logLine("agent: session \(id) ended: \(status.map { "\($0)" } ?? "unknown")")
            // A killed session's keeper listens at the same door; without one the door leads nowhere.
            if (try? UnixSocket.connect(to: path, .stream)) == nil { unlink(path) }
        }
        return try UnixSocket.connect(to: path, .stream)
    }

    private func refuse(_ connection: SharedDescriptor, _ refusal: Refusal) {
        let bytes = refusal.encoded
        try? writeBytes(bytes, to: connection.raw, name: "refusal")
    }
}
