import Host
import Model
import Plan
import Synchronization
import Wire

/// `HOST[:PORT]` of a destination's agent.
public struct PeerAddress: Hashable, Sendable, CustomStringConvertible {
    public var host: String
    public var port: UInt16

    /// Nil unless the text is `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
    public init?(_ text: String) {
        var host = text[...]
        var port: UInt16? = Dialer.defaultPort
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            if !rest.isEmpty { port = rest.hasPrefix(":") ? UInt16(rest.dropFirst()) : nil }
        } else if text.filter({ $0 == ":" }).count == 1, let colon = text.firstIndex(of: ":") {
            host = text[..<colon]
            port = UInt16(text[text.index(after: colon)...])
        }
        guard let port, port > 0, !host.isEmpty, !host.contains("/"), !host.contains(" ") else { return nil }
        self.host = String(host)
        self.port = port
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// The source's connections to the destination: one for control, which may be dialled again, and those of the attempt, whose
/// loss ends it.
final class SourceLink: Sendable {
    private struct State {
        var control: ControlConnection?
        var others: [Connection] = []
        /// Round marks that came back.
        var landed: Set<Int> = []
        var broken: Problem?
        /// How often it was dialled.
        var dials = 0
        /// Grows when everything is ended: what a connection of an earlier one tells is old.
        var epoch = 0
        /// The loss of this epoch was told.
        var told = -1
        /// Pages that the destination has otherwise than was asked for.
        var differing: [PageRequest] = []
        /// Takes requests for pages that stayed behind.
        var onWanted: (@Sendable (PageRequest) -> Void)?
        /// Requests that came before anybody took them: a destination asks as soon as it is dialled.
        var wanted: [PageRequest] = []
    }

    private let address: DestinationAddress
    private let route: Route
    /// How many connections beside the first an attempt opens, as far as that is known.
    private let expected: Int
    let migration: MigrationID
    private let mailbox: Mailbox<SourceEvent>
    private let record: MigrationRecord
    private let state = Monitor(State())

    init(
        address: DestinationAddress, route: Route, migration: MigrationID, mailbox: Mailbox<SourceEvent>,
        record: MigrationRecord, expected: Int = 0
    ) {
        (self.address, self.route, self.migration) = (address, route, migration)
        (self.mailbox, self.record, self.expected) = (mailbox, record, expected)
    }

    /// Dials the control connection; `connected` or `connectionFailed` is posted. Blocks.
    func dial() {
        let epoch = state.withLock { state in
            state.control?.close("dialling anew")
            state.control = nil
            state.broken = nil
            state.dials += 1
            state.epoch += 1
            return state.epoch
        }
        do {
            let connection = try route.connect(Preamble(role: .control, migration: migration))
            let control = ControlConnection(
                connection, onMessage: { [weak self] in self?.received($0) },
                onClosed: { [weak self] in self?.closed($0, epoch) })
            let (isCurrent, isFirst) = state.withLock { state in
                // Who hung up meanwhile dials again.
                guard state.epoch == epoch else { return (false, false) }
                state.control = control
                return (true, state.dials == 1)
            }
            guard isCurrent else { return control.close("dialling anew") }
            if isFirst { route.prepare(expected) }
            mailbox.post(.connected)
            for _ in 0..<Self.clockProbes { send(.clock(ClockProbe(asked: MonotonicInstant.now.nanoseconds))) }
        } catch {
            guard state.withLock({ $0.epoch == epoch }) else { return }
            mailbox.post(.connectionFailed(Problem(what: "connect to \(address)", why: error.why, hint: error.hint)))
        }
    }

    /// The shortest round trip counts, so a few probes are enough.
    private static let clockProbes = 8

    private func received(_ bytes: [UInt8]) {
        do {
            switch try JSON.decode(PeerMessage.self, from: bytes) {
            case .clock(let probe) where probe.answered != nil:
                mailbox.post(.roundTrip(.nanoseconds(MonotonicInstant.now.nanoseconds - probe.asked)))
                record.take(probe)
            case .roundMark(let mark): state.withLock { _ = $0.landed.insert(mark.round) }
            case .wanted(let request): wanted(request)
            case .differing(let pages): state.withLock { $0.differing += pages }
            case let message: mailbox.post(.received(message))
            }
        } catch {
            state.withLock { $0.control?.close("a message that can't be understood") }
            mailbox.post(
                .peerLost(
                    Problem(what: "understand \(address)", why: "\(error)", hint: "are both hosts running the same Martlet?")
                ))
        }
    }

    private func closed(_ end: ControlEnd, _ epoch: Int) {
        if end == .here { return }
        tell(Problem(what: "talk to \(address)", why: end.words), epoch)
    }

    /// Tells of a loss, once.
    private func tell(_ problem: Problem, _ epoch: Int) {
        let isNews = state.withLock { state in
            guard state.epoch == epoch, state.told != epoch else { return false }
            (state.broken, state.told) = (problem, epoch)
            return true
        }
        if isNews { mailbox.post(.peerLost(problem)) }
    }

    /// Requests for missing pages go to `body`, on the connection's own thread.
    func onWanted(_ body: @escaping @Sendable (PageRequest) -> Void) {
        let waiting = state.withLock { state in
            state.onWanted = body
            defer { state.wanted = [] }
            return state.wanted
        }
        for request in waiting { body(request) }
    }

    private func wanted(_ request: PageRequest) {
        let body = state.withLock { state in
            if state.onWanted == nil, state.wanted.count < Self.mostWanted { state.wanted.append(request) }
            return state.onWanted
        }
        body?(request)
    }

    /// Each is a thread that waits; what is beyond comes with the rest, in order.
    private static let mostWanted = 4096

    func send(_ message: PeerMessage) {
        // Without a connection, or on a broken one, the loss is told by its own event.
        try? state.withLock { $0.control }?.send(JSON.encode(message))
    }

    /// Of the control connection's thread.
    func setPriority(_ priority: Host.Thread.Priority) {
        state.withLock { $0.control }?.connection.setPriority(priority)
    }

    /// Opens a connection of the attempt.
    func open(_ role: ConnectionRole, _ stream: Int, _ options: ConnectionOptions = ConnectionOptions()) throws(WireError)
        -> Connection
    {
        let epoch = epoch
        let connection = try route.connect(
            Preamble(role: role, stream: UInt8(stream), migration: migration), options)
        let isCurrent = state.withLock { state in
            guard state.epoch == epoch else { return false }
            state.others.append(connection)
            return true
        }
        guard isCurrent else {
            connection.close()
            throw .lost(peer: address.description, why: "the link was lost meanwhile")
        }
        return connection
    }

    /// Waits until a round's pages have landed.
    /// - Returns: false when the time is over.
    /// - Throws: `lost` when the link is.
    func waitForLanding(_ round: Int, within limit: Duration) throws(WireError) -> Bool {
        let (landed, broken) =
            state.wait(until: .now + limit) { state -> (Bool, Problem?)? in
                if state.landed.contains(round) { return (true, nil) }
                return state.broken.map { (false, $0) }
            } ?? (false, nil)
        if let broken { throw .lost(peer: address.description, why: broken.why) }
        return landed
    }

    /// Processes that carry the connections.
    func carriers() -> [Int32] { route.carriers() }

    /// Grows with each `dial`: what was sent before may not have arrived.
    var generation: Int { state.withLock { $0.dials } }

    /// Connections of another epoch are other connections.
    var epoch: Int { state.withLock { $0.epoch } }

    /// A connection without which the attempt can't go on is broken: all are, and may be dialled anew.
    /// - Parameter epoch: of that connection; nil for the present one.
    func lost(_ problem: Problem, of epoch: Int? = nil) {
        let now = self.epoch
        guard epoch ?? now == now else { return }
        close()
        tell(problem, now)
    }

    /// Ends everything; what waits for it fails soon.
    func hangUp() {
        state.withLock { $0.epoch += 1 }
        close()
        state.withLock { state in
            if state.broken == nil { state.broken = Problem(what: "talk to \(address)", why: "this side closed the connection") }
        }
    }

    /// Whether an error is the loss of a connection, and no more than that. Waits a moment for what others notice.
    func isLoss(_ error: any Error) -> Bool {
        switch error as? WireError {
        case .lost, .closed, .silent, .unreachable, .timedOut: true
        // An ssh that ends while it dials says only that it ended.
        case .ssh, nil: state.wait(until: .now + .seconds(1)) { $0.broken == nil ? nil : true } ?? false
        default: false
        }
    }

    /// Takes what the destination told since the last time.
    func takeDiffering() -> [PageRequest] {
        state.withLock { state in
            defer { state.differing = [] }
            return state.differing
        }
    }

    /// Breaks everything, as a cut cable would; for fault tests.
    func breakOff() {
        lost(Problem(what: "talk to \(address)", why: "the link was cut on purpose"))
    }

    /// Ends all connections without a word to the machine.
    func close() {
        state.withLock { state in
            state.control?.close("done")
            for connection in state.others { connection.close() }
            state.others = []
        }
        route.close()
    }
}
