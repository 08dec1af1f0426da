/// Why a connection could not be made or did not last. `peer` is HOST:PORT as the user knows it.
public enum WireError: Error, Equatable, Sendable {
    /// The name could not be resolved, or nobody answered there.
    case unreachable(peer: String, why: String)
    /// No answer in time.
    case timedOut(peer: String, stage: ConnectStage, seconds: Double)
    /// ssh did not lead there.
    case ssh(peer: String, SSHFailure)
    /// The other side said no in so many words.
    case refused(peer: String, Refusal)
    /// The other side sent something else than a preamble, a refusal or a hello.
    case preamble(peer: String, PreambleError)
    /// Under TLS the other side repeated another preamble than the one in plain text.
    case altered(peer: String)
    /// TLS could not be established.
    case tls(peer: String, TLSFailure)
    /// What came on a data stream is not in order.
    case frame(peer: String, FrameError)
    /// What came on a control connection or a tunnel is not in order; the text says what came and what was due.
    case protocolViolation(peer: String, String)
    /// The receiving side gave up and said why.
    case complaint(peer: String, String)
    /// Nothing came for so long that the other side must be gone.
    case silent(peer: String, seconds: Double)
    /// The connection ended in the middle.
    case lost(peer: String, why: String)
    /// Used after this side closed it.
    case closed(peer: String)
    /// A call of this host's system failed.
    case system(operation: String, why: String)
    /// The caller asked for something beyond the protocol's limits.
    case limit(String)
}

/// How far a connection had come.
public enum ConnectStage: String, Sendable {
    case connect = "connecting"
    case handshake = "waiting for the TLS handshake"
    case hello = "waiting for the peer's hello"
}

extension WireError: CustomStringConvertible {
    /// What failed, in one line.
    public var what: String {
        switch self {
        case .unreachable(let peer, _), .timedOut(let peer, .connect, _): "cannot connect to \(peer)"
        case .timedOut(let peer, _, _), .altered(let peer), .tls(let peer, _):
            "cannot set up a secure connection to \(peer)"
        case .ssh(let peer, _): "cannot reach martlet at \(peer)"
        case .refused(let peer, _): "\(peer) refused the connection"
        case .preamble(let peer, _): "\(peer) does not speak martlet's protocol"
        case .frame(let peer, _): "data from \(peer) is damaged"
        case .protocolViolation(let peer, _): "\(peer) broke the protocol"
        case .complaint(let peer, _): "\(peer) gave up"
        case .silent(let peer, _), .lost(let peer, _): "the connection to \(peer) was lost"
        case .closed(let peer): "the connection to \(peer) is closed"
        case .system(let operation, _): "\(operation) failed"
        case .limit: "a request beyond the protocol's limits"
        }
    }

    /// What the system or the peer said.
    public var why: String {
        switch self {
        case .unreachable(_, let why), .lost(_, let why), .system(_, let why): why
        case .timedOut(_, let stage, let seconds): "no answer within \(seconds) s while \(stage.rawValue)"
        case .ssh(_, let failure): failure.why
        case .refused(_, let refusal): refusal.description
        case .preamble(_, let error): error.description
        case .altered: "the preamble was altered on the way: the hello under TLS says something else"
        case .tls(_, let failure): failure.description
        case .frame(_, let error): error.description
        case .protocolViolation(_, let text), .complaint(_, let text), .limit(let text): text
        case .silent(_, let seconds): "nothing came for \(seconds) s"
        case .closed: "this side closed it"
        }
    }

    /// What to do about it.
    public var hint: String {
        switch self {
        case .unreachable: "check the address, and that `martlet agent` runs there"
        case .timedOut(_, .connect, _): "check the address, the route and firewalls on the way"
        case .timedOut: "check that `martlet agent`, and nothing else, listens there"
        case .ssh(let peer, let failure): failure.hint(peer)
        case .refused(_, let refusal): refusal.hint
        case .preamble: "check that `martlet agent`, and nothing else, listens there"
        case .altered: "something between the hosts changes the connection: dial the host directly"
        case .tls(_, let failure): failure.hint
        case .frame, .protocolViolation: "install the same version of martlet on both hosts; if it stays, report a bug"
        case .complaint: "look at the other side's log"
        case .silent, .lost: "check the network between the hosts and the other side's log"
        case .closed, .limit: "report a bug"
        case .system: "check this host's limits and log"
        }
    }

    public var description: String { "\(what): \(why)" }
}
