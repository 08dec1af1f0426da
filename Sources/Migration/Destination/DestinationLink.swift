import Host
import Model
import Plan
import Synchronization
import Wire

/// The destination's control connection: replaced when the source dials anew.
final class DestinationLink: Sendable {
    private let mailbox: Mailbox<DestinationEvent>
    private let control = Mutex<ControlConnection?>(nil)
    private let others = Mutex(Others())
    private struct Others {
        var all: [(connection: Connection, isUrgent: Bool)] = []
        var isFilling = false
    }
    private let generation = Atomic<Int>(0)
    /// Takes descriptions of shared memory at once: pages of it may be waiting.
    private let onShared: @Sendable ([SharedObject]) throws -> Void
    private let onCommon: @Sendable ([CommonArea]) -> Void
    /// Processes that ssh started and that hand bytes to us.
    private let entrances = Mutex<[Int32]>([])

    init(
        mailbox: Mailbox<DestinationEvent>, onShared: @escaping @Sendable ([SharedObject]) throws -> Void,
        onCommon: @escaping @Sendable ([CommonArea]) -> Void
    ) {
        (self.mailbox, self.onShared, self.onCommon) = (mailbox, onShared, onCommon)
    }

    /// Whether a source ever came.
    var wasTaken: Bool { generation.load(ordering: .sequentiallyConsistent) > 0 }

    func take(_ connection: Connection) {
        let number = generation.add(1, ordering: .sequentiallyConsistent).newValue
        let fresh = ControlConnection(
            connection, onMessage: { [weak self] in self?.received($0) },
            onClosed: { [weak self] in self?.closed($0, number) })
        let old = control.withLock { control in
            defer { control = fresh }
            return control
        }
        if others.withLock({ $0.isFilling }) { connection.setPriority(Self.urgent) }
        old?.close("a newer connection took its place")
        mailbox.post(.connected)
    }

    /// Notes a connection of the attempt, so that it can be closed.
    /// - Parameter stream: of pages; the last of `streams` carries what threads wait for, as does the second one of a source that dials
    ///   anew in the fill.
    func add(_ connection: Connection, stream: Int? = nil, of streams: Int = 0) {
        others.withLock { others in
            let isUrgent = stream == (others.isFilling ? 1 : streams)
            others.all.append((connection, isUrgent))
            if others.isFilling { Self.rank(connection, isUrgent) }
        }
    }

    /// The container runs: what its threads wait for goes before all else, and the rest behind them.
    func fillBegins() {
        control.withLock { $0 }?.connection.setPriority(Self.urgent)
        others.withLock { others in
            others.isFilling = true
            for (connection, isUrgent) in others.all { Self.rank(connection, isUrgent) }
        }
    }

    private static let urgent = Host.Thread.Priority.realtime(4)
    private static func rank(_ connection: Connection, _ isUrgent: Bool) { connection.setPriority(isUrgent ? urgent : .yielding) }

    /// A connection came over ssh: its other end within this host is an entrance of ours.
    func noteEntrance(of connection: SharedDescriptor) {
        guard let socket = try? UnixSocket(connection.duplicate()), let pid = try? socket.peer().pid else { return }
        entrances.withLock { $0.append(pid) }
    }

    /// Processes that carry the connections: the entrances, and the processes of their logins.
    func carriers() -> [Int32] {
        entrances.withLock { $0 }.flatMap { pid -> [Int32] in
            guard let stat = try? ProcessStat.of(pid: pid), stat.command.hasPrefix("martlet") else { return [] }
            guard let login = try? ProcessStat.of(pid: stat.parent), login.command.hasPrefix("sshd") else { return [pid] }
            return [pid, login.pid]
        }
    }

    private func received(_ bytes: [UInt8]) {
        do {
            switch try JSON.decode(PeerMessage.self, from: bytes) {
            case .clock(var probe):
                probe.answered = MonotonicInstant.now.nanoseconds
                send(.clock(probe))
            case .sharedMemory(let objects): try onShared(objects)
            case .commonAreas(let areas): onCommon(areas)
            case let message: mailbox.post(.received(message))
            }
        } catch {
            logLine("control: \(error)")
            control.withLock { $0 }?.close("a message that can't be understood")
        }
    }

    private func closed(_ end: ControlEnd, _ number: Int) {
        // An old connection's end says nothing of the peer.
        guard generation.load(ordering: .sequentiallyConsistent) == number else { return }
        mailbox.post(.peerLost(Problem(what: "talk to the source", why: end.words)))
    }

    func send(_ message: PeerMessage) {
        guard let control = control.withLock({ $0 }) else { return }
        do { try control.send(JSON.encode(message)) } catch { logLine("control: \(error)") }
    }

    func close(_ reason: String) {
        control.withLock { $0 }?.close(reason)
        closeStreams()
    }

    /// Ends what belongs to the attempt; the control connection stays for the last words.
    func closeStreams() {
        others.withLock { others in
            for (connection, _) in others.all { connection.close() }
            others.all = []
        }
    }
}

extension ControlEnd {
    /// For people.
    var words: String {
        switch self {
        case .here: "this side closed the connection"
        case .goodbye(let text): text.isEmpty ? "it closed the connection" : text
        case .failed(let error): error.why
        }
    }
}
