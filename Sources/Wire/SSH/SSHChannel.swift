import Glibc
import Host
import Synchronization

/// One ssh process whose standard input and output are one end of a socket pair; at the other host they are joined to what it
/// runs there. What it says on standard error is kept for whoever asks why it failed.
final class SSHChannel: Sendable {
    let peer: String
    private let child: ChildProcess
    private let socket: Mutex<SharedDescriptor?>
    private let words = LastWords()

    /// What the martlet at the other host says first. A login that prints something before (a shell's start-up file) does no harm.
    static let greeting = "\nMARTLET JOINS\n"
    /// More than that is no start-up file's greeting.
    private static let mostNoise = 256 << 10
    /// From the end of its output to its own end.
    private static let endPatience = Duration.seconds(5)

    private init(_ child: ChildProcess, _ socket: SharedDescriptor, peer: String) {
        self.child = child
        self.socket = Mutex(socket)
        self.peer = peer
    }

    /// Starts ssh and waits until martlet answers at the other end.
    static func open(_ command: SSHCommand, script: String, within limit: Duration) throws(WireError) -> SSHChannel {
        let channel = try start(command, script: script)
        do {
            try channel.awaitGreeting(until: .now + limit, limit)
        } catch {
            channel.end()
            throw error
        }
        return channel
    }

    private static func start(_ command: SSHCommand, script: String) throws(WireError) -> SSHChannel {
        let peer = command.address.description
        do {
            var ends: [Int32] = []
            try UnixSocket.pair(.stream).split { first, second in
                ends = [first.takeDescriptor().release(), second.takeDescriptor().release()]
            }
            let ours = SharedDescriptor(OwnedDescriptor(taking: ends[0])), theirs = OwnedDescriptor(taking: ends[1])
            let errors = try Pipe()
            var spawn = Spawn("ssh", command.arguments(script))
            spawn.descriptors = [0: theirs.raw, 1: theirs.raw, 2: errors.write.raw]
            // Out of reach of our terminal's Ctrl-C: it is us who decide what that means.
            spawn.newSession = true
            let channel = SSHChannel(try spawn.start(), ours, peer: peer)
            try channel.words.listen(SharedDescriptor(errors.closeWriteEnd()), channel.child)
            return channel
        } catch {
            throw explain(error, peer)
        }
    }

    /// An error of starting ssh.
    static func explain(_ error: SystemError, _ peer: String) -> WireError {
        guard error.errno == ENOENT, error.call == "posix_spawn" else {
            return .system(operation: "starting ssh", why: error.description)
        }
        return .ssh(peer: peer, .notInstalled)
    }

    private func awaitGreeting(until deadline: MonotonicInstant, _ limit: Duration) throws(WireError) {
        guard let socket = socket.withLock({ $0 }) else { throw .closed(peer: peer) }
        let greeting = Array(Self.greeting.utf8)
        var heard: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while !heard.suffix(greeting.count).elementsEqual(greeting) {
            guard let ready = try? Poll.wait(socket.raw, for: .input, until: deadline), !ready.isEmpty else {
                throw .ssh(peer: peer, .timedOut(seconds: limit.inSeconds, lastWords: words.last))
            }
            let count = read(socket.raw, &chunk, chunk.count)
            if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            guard count > 0, heard.count < Self.mostNoise else { throw .ssh(peer: peer, failure()) }
            heard += chunk[..<count]
        }
    }

    /// Why it ended; what has not ended yet counts as killed.
    private func failure() -> SSHFailure {
        complaint(within: Self.endPatience) ?? SSHFailure(.signaled(SIGKILL), lines: [words.last])
    }

    /// ssh's own complaint if it ended within a moment.
    func complaint(within limit: Duration) -> SSHFailure? {
        words.end(within: limit).map { SSHFailure($0.status, lines: $0.lines) }
    }

    /// Our end of the pair; ssh ends when it is closed.
    func takeSocket() throws(WireError) -> OwnedDescriptor {
        let taken = socket.withLock { socket in
            defer { socket = nil }
            return socket
        }
        guard let taken else { throw .closed(peer: peer) }
        do { return try taken.duplicate() } catch {
            throw .system(operation: "duplicating a socket", why: error.description)
        }
    }

    var pid: Int32 { child.pid }
    var isAlive: Bool { !words.isOver }

    func end() {
        socket.withLock { $0 = nil }
        _ = try? child.kill(SIGTERM)
    }
}
