import Glibc
import Host
import Model
import Plan
import Wire

/// What ssh starts at the destination, once a connection: joins its standard input and output to the session of the migration. The
/// session is no child of it for long, has none of its descriptors, and outlives it: the agent's part, without an agent.
public enum SSHEntrance {
    /// sshd's end of a connection whose peer takes nothing for so long is given up.
    private static let patience = Duration.seconds(60)

    /// Returns the exit code.
    public static func serve(room: StoreRoom) -> Int32 {
        guard geteuid() == 0 else {
            say("martlet needs root here; this is user \(geteuid())")
            return SSHFailure.notRootCode
        }
        do {
            try Places.make(Places.sessions)
            try Places.make(Places.state)
            // From here on it is the source's turn, maybe much later: it opens connections ahead of their use.
            try writeBytes(Array(SSHRoute.greeting.utf8), to: 1, name: "standard output")
            guard let bytes = try preamble() else { return 0 }
            return try join(bytes, room)
        } catch {
            say("\(error)")
            return 1
        }
    }

    private static func say(_ words: String) { try? writeBytes(Array("\(words)\n".utf8), to: 2, name: "standard error") }

    /// - Returns: nil when the other side ended without one.
    private static func preamble() throws(SystemError) -> [UInt8]? {
        var bytes: [UInt8] = []
        while bytes.count < Preamble.byteCount {
            var chunk = [UInt8](repeating: 0, count: Preamble.byteCount - bytes.count)
            _ = try Poll.wait(0, for: .input, until: nil)
            let count = read(0, &chunk, chunk.count)
            if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            guard count > 0 else { return nil }
            bytes += chunk[..<count]
        }
        return bytes
    }

    private static func join(_ bytes: [UInt8], _ room: StoreRoom) throws -> Int32 {
        var ends: [Int32] = []
        try UnixSocket.pair(.stream).split { first, second in
            ends = [first.takeDescriptor().release(), second.takeDescriptor().release()]
        }
        let ours = SharedDescriptor(OwnedDescriptor(taking: ends[0]))
        do {
            let theirs = SharedDescriptor(OwnedDescriptor(taking: ends[1]))
            try hand(theirs, try Preamble(decoding: bytes), room)
        } catch let error as PreambleError {
            return try refuse(error.refusal)
        } catch let refusal as Refusal {
            return try refuse(refusal)
        }
        try pump(ours)
        return 0
    }

    private static func hand(_ connection: SharedDescriptor, _ preamble: Preamble, _ room: StoreRoom) throws {
        var doorman = Doorman(room: room) { migration in
            try Places.make(Places.durable(migration))
            return SharedDescriptor(
                try OwnedDescriptor(
                    opening: Places.sessionLog(migration), flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o600))
        }
        doorman.environment = environment()
        try doorman.pass(connection, preamble, .ssh)
    }

    /// Of the login nothing goes on but where programs are: the session is no part of it.
    private static func environment() -> [String] {
        ["PATH", "HOME", "LANG", "LD_PRELOAD"].compactMap { (name: String) -> String? in
            getenv(name).map { "\(name)=\(String(cString: $0))" }
        }
    }

    private static func refuse(_ refusal: Refusal) throws(SystemError) -> Int32 {
        try writeBytes(refusal.encoded, to: 1, name: "standard output")
        return 0
    }

    /// Until the session has said all. A source that ends is the end of the session's input, and so of the connection.
    private static func pump(_ session: SharedDescriptor) throws {
        for standard: Int32 in [0, 1] { Pump.widen(standard) }
        _ = try Thread(named: "inward", priority: .normal) {
            try? Pump.run(from: 0, to: session.raw)
            shutdown(session.raw, Int32(SHUT_WR))
        }
        try Pump.run(from: session.raw, to: 1, patience: patience)
    }
}
