/// `{"message":"prepared","body":{…}}`, written by hand so that the text is plain for other programs and stable
/// when a Swift case is renamed.
extension PeerMessage: Codable {
    private enum Key: String, CodingKey { case message, body }
    private struct Reason: Codable { var reason: String }

    /// The message's name on the wire, in logs and in tests.
    public var name: String {
        switch self {
        case .offer: "offer"
        case .prepare: "prepare"
        case .standBy: "stand-by"
        case .cut: "cut"
        case .shipped: "shipped"
        case .release: "release"
        case .abort: "abort"
        case .bye: "bye"
        case .resume: "resume"
        case .resumed: "resumed"
        case .differing: "differing"
        case .findings: "findings"
        case .prepared: "prepared"
        case .standingBy: "standing-by"
        case .ready: "ready"
        case .running: "running"
        case .filled: "filled"
        case .aborted: "aborted"
        case .state: "state"
        case .inquire: "inquire"
        case .clock: "clock"
        case .roundMark: "round-mark"
        case .wanted: "wanted"
        case .sharedMemory: "shared-memory"
        case .commonAreas: "common-areas"
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var message = encoder.container(keyedBy: Key.self)
        try message.encode(name, forKey: .message)
        switch self {
        case .offer(let body): try message.encode(body, forKey: .body)
        case .prepare(let body): try message.encode(body, forKey: .body)
        case .shipped(let body): try message.encode(body, forKey: .body)
        case .findings(let body): try message.encode(body, forKey: .body)
        case .prepared(let body): try message.encode(body, forKey: .body)
        case .running(let body): try message.encode(body, forKey: .body)
        case .state(let body): try message.encode(body, forKey: .body)
        case .clock(let body): try message.encode(body, forKey: .body)
        case .roundMark(let body): try message.encode(body, forKey: .body)
        case .wanted(let body): try message.encode(body, forKey: .body)
        case .sharedMemory(let body): try message.encode(body, forKey: .body)
        case .resume(let body): try message.encode(body, forKey: .body)
        case .resumed(let body): try message.encode(body, forKey: .body)
        case .differing(let body): try message.encode(body, forKey: .body)
        case .commonAreas(let body): try message.encode(body, forKey: .body)
        case .abort(let reason), .aborted(let reason): try message.encode(Reason(reason: reason), forKey: .body)
        case .standBy, .cut, .release, .bye, .standingBy, .ready, .filled, .inquire: break
        }
    }

    /// - Throws: `DecodingError` that names the message if it is unknown: a peer of a later version speaks.
    public init(from decoder: any Decoder) throws {
        let message = try decoder.container(keyedBy: Key.self)
        func body<T: Decodable>(_: T.Type = T.self) throws -> T { try message.decode(T.self, forKey: .body) }
        let name = try message.decode(String.self, forKey: .message)
        switch name {
        case "offer": self = .offer(try body())
        case "prepare": self = .prepare(try body())
        case "stand-by": self = .standBy
        case "cut": self = .cut
        case "shipped": self = .shipped(try body())
        case "release": self = .release
        case "abort": self = .abort(reason: try body(Reason.self).reason)
        case "bye": self = .bye
        case "resume": self = .resume(try body())
        case "resumed": self = .resumed(try body())
        case "differing": self = .differing(try body())
        case "findings": self = .findings(try body())
        case "prepared": self = .prepared(try body())
        case "standing-by": self = .standingBy
        case "ready": self = .ready
        case "running": self = .running(try body())
        case "filled": self = .filled
        case "aborted": self = .aborted(reason: try body(Reason.self).reason)
        case "state": self = .state(try body())
        case "inquire": self = .inquire
        case "clock": self = .clock(try body())
        case "round-mark": self = .roundMark(try body())
        case "wanted": self = .wanted(try body())
        case "shared-memory": self = .sharedMemory(try body())
        case "common-areas": self = .commonAreas(try body())
        default:
            throw DecodingError.dataCorruptedError(
                forKey: .message, in: message,
                debugDescription: "the peer sent a message '\(name)' that this version does not know")
        }
    }
}

/// `{"standing":"ready"}`, with `reason` or `running` where there is more to say.
extension DestinationStanding: Codable {
    private enum Key: String, CodingKey { case standing, reason, running }

    /// For logs and people.
    public var name: String {
        switch self {
        case .unknown: "unknown"
        case .preparing: "preparing"
        case .ready: "ready"
        case .aborted: "aborted"
        case .running: "running"
        case .filled: "filled"
        case .lost: "lost"
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var body = encoder.container(keyedBy: Key.self)
        try body.encode(name, forKey: .standing)
        switch self {
        case .aborted(let reason): try body.encode(reason, forKey: .reason)
        case .running(let running): try body.encodeIfPresent(running, forKey: .running)
        case .unknown, .preparing, .ready, .filled, .lost: break
        }
    }

    public init(from decoder: any Decoder) throws {
        let body = try decoder.container(keyedBy: Key.self)
        let name = try body.decode(String.self, forKey: .standing)
        switch name {
        case "unknown": self = .unknown
        case "preparing": self = .preparing
        case "ready": self = .ready
        case "aborted": self = .aborted(reason: try body.decode(String.self, forKey: .reason))
        case "running": self = .running(try body.decodeIfPresent(Running.self, forKey: .running))
        case "filled": self = .filled
        case "lost": self = .lost
        default:
            throw DecodingError.dataCorruptedError(
                forKey: .standing, in: body, debugDescription: "unknown standing '\(name)' of the destination")
        }
    }
}
