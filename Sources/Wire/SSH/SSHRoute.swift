import Glibc
public import Host
import Synchronization

/// The way to a destination over OpenSSH: each connection is an ssh process of its own, whose standard input and output carry
/// what TCP carries otherwise, without TLS inside.
public final class SSHRoute: Sendable {
    private struct Spares {
        var ready: [SSHChannel] = []
        /// Being opened by a thread.
        var coming = 0
        var isClosed = false
    }

    public let address: SSHAddress
    private let command: SSHCommand
    private let script: String
    private let spares = Monitor(Spares())
    /// Those that carry a connection.
    private let used = Mutex<[SSHChannel]>([])

    /// For ssh's handshake and login: name servers that are asked in vain take their time, and sshd's own limit is 120 s.
    private static let patience = Duration.seconds(30)
    /// Handshakes at a time. sshd refuses at random beyond ten that have not logged in (MaxStartups).
    private static let opened = 4

    /// What martlet says there before anything else.
    public static let greeting = SSHChannel.greeting

    /// - Parameter copy: folder at the destination in which a copy of this program may lie.
    public init(_ address: SSHAddress, copy: String) {
        self.address = address
        command = SSHCommand.probe(address)
        script = SSHCommand.joining(copy: copy)
    }

    /// Opens a connection. Blocks.
    public func connect(_ preamble: Preamble, _ options: ConnectionOptions = ConnectionOptions()) throws(WireError) -> Connection
    {
        if let spare = takeSpare() {
            // One that waited for long may have been ended by the other side: a fresh one tells.
            if let connection = try? join(spare, preamble, options) { return connection }
        }
        return try join(try SSHChannel.open(command, script: script, within: Self.patience), preamble, options)
    }

    private func join(_ channel: SSHChannel, _ preamble: Preamble, _ options: ConnectionOptions) throws(WireError) -> Connection {
        do {
            let connection = try Dialer.adopt(
                try channel.takeSocket(), host: address.description, preamble: preamble, credentials: nil, options: options)
            used.withLock { $0 = $0.filter(\.isAlive) + [channel] }
            return connection
        } catch {
            if case .lost = error, let failure = channel.complaint(within: .seconds(1)) {
                throw .ssh(peer: channel.peer, failure)
            }
            throw error
        }
    }

    /// The ssh processes that carry connections.
    public func carriers() -> [Int32] { used.withLock { $0.filter(\.isAlive).map(\.pid) } }

    private func takeSpare() -> SSHChannel? {
        let taken: SSHChannel?? = spares.wait(until: .now + Self.patience) { spares in
            spares.ready.removeAll { !$0.isAlive }
            if !spares.ready.isEmpty { return .some(spares.ready.removeFirst()) }
            return spares.coming == 0 ? .some(nil) : nil
        }
        return taken ?? nil
    }

    /// Opens ssh processes ahead, in the background: a handshake takes tenths of a second, and these are over when the
    /// connections are asked for. Those that fail are not missed: who needs one then opens it and hears why.
    public func prepare(_ count: Int) {
        let threads = min(count, Self.opened)
        guard threads > 0 else { return }
        spares.withLock { $0.coming += count }
        for number in 0..<threads {
            let share = count / threads + (number < count % threads ? 1 : 0)
            do {
                _ = try Thread(named: "ssh-ahead") { [self] in for _ in 0..<share { openSpare() } }
            } catch {
                spares.withLock { $0.coming -= share }
            }
        }
    }

    private func openSpare() {
        let channel =
            spares.withLock { $0.isClosed } ? nil : try? SSHChannel.open(command, script: script, within: Self.patience)
        let unwanted = spares.withLock { spares in
            spares.coming -= 1
            if let channel, !spares.isClosed { spares.ready.append(channel) }
            return spares.isClosed
        }
        if unwanted { channel?.end() }
    }

    /// Ends what was opened ahead and not asked for.
    public func close() {
        let left = spares.withLock { spares in
            defer { spares.ready = [] }
            spares.isClosed = true
            return spares.ready
        }
        for channel in left { channel.end() }
    }

    /// Runs a few lines of shell there, for what is done before any connection.
    /// - Parameters:
    ///   - script: without single quotes.
    ///   - input: descriptor of what it reads, or nil for nothing; borrowed.
    /// - Returns: its exit code, when it is not ssh that failed.
    /// - Throws: ssh's own complaint.
    public func run(_ script: String, input: Int32? = nil, within limit: Duration) throws(WireError) -> SSHRun {
        let peer = address.description
        do {
            let errors = try Pipe()
            var spawn = Spawn("ssh", command.arguments(script))
            spawn.descriptors = [2: errors.write.raw]
            if let input { spawn.descriptors[0] = input }
            spawn.newSession = true
            let child = try spawn.start()
            let end = errors.closeWriteEnd()
            let words = LastWords()
            try words.listen(SharedDescriptor(end), child)
            guard let (status, lines) = words.end(within: limit) else {
                _ = try? child.kill(SIGKILL)
                throw SystemError(call: "ssh", subject: "", errno: ETIMEDOUT)
            }
            let run = SSHRun(status: status, lines: lines)
            if case .refused = run.failure { throw WireError.ssh(peer: peer, run.failure) }
            return run
        } catch let error as SystemError {
            if error.errno == ETIMEDOUT { throw .ssh(peer: peer, .timedOut(seconds: limit.inSeconds, lastWords: "")) }
            throw SSHChannel.explain(error, peer)
        } catch let error as WireError {
            throw error
        } catch {
            throw .system(operation: "running ssh", why: "\(error)")
        }
    }
}

/// How something that ssh ran at the destination ended.
public struct SSHRun: Sendable {
    public let status: ExitStatus
    /// The last lines of its standard error.
    public let lines: [String]

    public var failure: SSHFailure { SSHFailure(status, lines: lines) }
}
