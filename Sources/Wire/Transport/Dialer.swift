import Glibc
public import Host

/// The dialling side: the source host.
public enum Dialer {
    /// The port on which `martlet agent` listens.
    public static let defaultPort: UInt16 = 7077

    /// Connects, sends the preamble, goes through TLS and waits for the peer's hello. Blocks the calling thread.
    /// - Parameters:
    ///   - host: a name or an IP address; the peer's certificate must bear it.
    ///   - credentials: nil for plain text, which only a transport that is itself secure (ssh) may use.
    /// - Throws: why not, in words for the user; nothing is left open then.
    public static func connect(
        host: String, port: UInt16 = defaultPort, preamble: Preamble, credentials: Credentials?,
        options: ConnectionOptions = ConnectionOptions()
    ) throws(WireError) -> Connection {
        try connect(
            host: host, port: port, preamble: preamble, credentials: credentials, options: options,
            version: Preamble.protocolVersion)
    }

    static func connect(
        host: String, port: UInt16, preamble: Preamble, credentials: Credentials?, options: ConnectionOptions, version: UInt16
    ) throws(WireError) -> Connection {
        let started = MonotonicInstant.now
        let peer = TCPSocket.peerName(host, port)
        let descriptor: OwnedDescriptor
        do {
            descriptor = try TCPSocket.connect(host: host, port: port, deadline: started + options.connectTimeout)
        } catch {
            guard case .timedOut(_, let stage, _) = error else { throw error }
            throw .timedOut(peer: peer, stage: stage, seconds: options.connectTimeout.inSeconds)
        }
        try preamble.send(on: descriptor, peer: peer, version: version)
        return try Connection(
            descriptor, side: .dialling(host: host), peer: peer, preamble: preamble, credentials: credentials,
            options: options, started: started)
    }

    /// Takes over a socket that is connected by other means; sends the preamble first.
    /// - Parameter host: the name or address that the peer's certificate must bear.
    public static func adopt(
        _ descriptor: consuming OwnedDescriptor, host: String, preamble: Preamble, credentials: Credentials?,
        options: ConnectionOptions = ConnectionOptions()
    ) throws(WireError) -> Connection {
        let started = MonotonicInstant.now
        try preamble.send(on: descriptor, peer: host, version: Preamble.protocolVersion)
        return try Connection(
            descriptor, side: .dialling(host: host), peer: host, preamble: preamble, credentials: credentials,
            options: options, started: started)
    }
}

/// The accepting side: a session process that got the connection from the agent.
public enum Acceptor {
    /// Takes over a socket whose preamble was read already (`Preamble.receive`), goes through TLS and exchanges
    /// hellos. Blocks the calling thread.
    /// - Parameters:
    ///   - preamble: as it came; the dialling side has to repeat it under TLS.
    ///   - credentials: nil for plain text, which only a transport that is itself secure (ssh) may use.
    public static func adopt(
        _ descriptor: consuming OwnedDescriptor, preamble: Preamble, credentials: Credentials?,
        options: ConnectionOptions = ConnectionOptions()
    ) throws(WireError) -> Connection {
        let peer = TCPSocket.peerText(descriptor)
        return try Connection(
            descriptor, side: .accepting, peer: peer, preamble: preamble, credentials: credentials, options: options,
            started: .now)
    }
}
