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
    private let doorman: Doorman
    private let greeting = Atomic<Int>(0)

    /// Connections whose preamble has not come yet. More are refused: they cost a thread each and nothing is known of them.
    private static let mostGreetings = 64
    /// A preamble is the first thing that a peer sends; over the slowest link it takes one round trip.
    private static let preambleTime = Duration.seconds(10)

    /// - Parameter room: where its sessions may put pages.
    public init(address: String, port: UInt16, room: StoreRoom) throws(SystemError) {
        doorman = Doorman(room: room) { _ in nil }
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
            guard let last = JournalFile.open(migration, .destination) else { continue }
            if (try? UnixSocket.connect(to: Places.door(migration), .stream)) != nil { continue }
            logLine("agent: migration \(migration) of \(last.container) was interrupted after \(last.kind); starting its session")
            do {
                _ = try doorman.start(migration)
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
            try doorman.pass(connection, try Preamble(decoding: bytes), .tcp)
        } catch let error as PreambleError {
            logLine("agent: \(peerName(of: connection.raw)): \(error)")
            refuse(connection, error.refusal)
        } catch let refusal as Refusal {
            refuse(connection, refusal)
        } catch {
            logLine("agent: \(peerName(of: connection.raw)): \(error)")
            refuse(connection, Refusal(.busy, note: "no session"))
        }
    }

    private func refuse(_ connection: SharedDescriptor, _ refusal: Refusal) {
        let bytes = refusal.encoded
        try? writeBytes(bytes, to: connection.raw, name: "refusal")
    }
}
