import Containers
public import Wire

/// Where a container is moved to: an agent, or a host that is reached by ssh.
public enum DestinationAddress: Hashable, Sendable, CustomStringConvertible {
    case agent(PeerAddress)
    case ssh(SSHAddress)

    /// `HOST[:PORT]` or `ssh://[USER@]HOST[:PORT]`.
    /// - Throws: what is wrong with the text.
    public init(_ text: String) throws(AddressMistake) {
        if text.hasPrefix(SSHAddress.scheme) {
            self = .ssh(try SSHAddress(text))
        } else if let address = PeerAddress(text) {
            self = .agent(address)
        } else {
            throw AddressMistake(text: text, why: "HOST, HOST:PORT or ssh://[USER@]HOST[:PORT] is due")
        }
    }

    public var host: String {
        switch self {
        case .agent(let address): address.host
        case .ssh(let address): address.host
        }
    }

    /// What `init` reads again: it stands in the journal, so that whoever recovers can dial.
    public var description: String {
        switch self {
        case .agent(let address): address.description
        case .ssh(let address): address.description
        }
    }
}

/// How connections to a destination are made.
enum Route: Sendable {
    case agent(PeerAddress, Credentials)
    case ssh(SSHRoute)

    /// - Throws: why this host can't dial: it has no certificate.
    init(to address: DestinationAddress) throws {
        switch address {
        case .agent(let address): self = .agent(address, try Credentials())
        case .ssh(let address): self = .ssh(SSHRoute(address, copy: try ProgramCopy.folder()))
        }
    }

    func connect(_ preamble: Preamble, _ options: ConnectionOptions = ConnectionOptions()) throws(WireError) -> Connection {
        switch self {
        case .agent(let address, let credentials):
            try Dialer.connect(
                host: address.host, port: address.port, preamble: preamble, credentials: credentials, options: options)
        case .ssh(let route): try route.connect(preamble, options)
        }
    }

    /// So many connections will be asked for.
    func prepare(_ count: Int) { if case .ssh(let route) = self { route.prepare(count) } }

    /// Processes of this host that carry what was opened.
    func carriers() -> [Int32] { if case .ssh(let route) = self { route.carriers() } else { [] } }

    /// No more connections will be asked for.
    func close() { if case .ssh(let route) = self { route.close() } }
}
