/// How a container is connected: gathered at the source, made again at the destination.
public struct NetworkDescription: Codable, Sendable, Hashable {
    public enum Kind: String, Codable, Sendable, Hashable {
        /// It uses the host's network namespace. Nothing is made; ports may clash.
        case host
        /// A new namespace without a name (`runc spec`'s default): CRIU makes an empty one (`empty_ns`), runc's hooks fill it.
        case unnamed
        /// A namespace with a path (`linux.namespaces[network].path`). It is external to CRIU: Martlet makes it.
        case named
    }

    /// An address of an interface.
    public struct Address: Codable, Sendable, Hashable {
        /// Text form without prefix length: `10.77.1.5`, `fd00::5`.
        public var text: String
        public var prefix: Int
        public var broadcast: String?
        /// `global`, `link`, `host`
        public var scope: String
        public init(text: String, prefix: Int, broadcast: String? = nil, scope: String = "global") {
            self.text = text
            self.prefix = prefix
            self.broadcast = broadcast
            self.scope = scope
        }
        public var isIPv6: Bool { text.contains(":") }
        public var isLinkLocal: Bool { scope == "link" }
    }

    /// An Ethernet interface inside the namespace.
    public struct Interface: Codable, Sendable, Hashable {
        public var name: String
        /// Kept, because packet sockets, multicast memberships and IPv6 scopes in CRIU's images name it.
        public var index: Int
        /// `02:00:00:00:00:05`
        public var mac: String
        public var mtu: Int
        /// `veth`, `macvlan`, ... as `ip -d link` tells; empty for a physical one.
        public var kind: String
        public var up: Bool
        public var addresses: [Address]
        /// Name of the veth's other end in the host's namespace, nil if it isn't there.
        public var hostName: String?
        /// The bridge into which the other end is plugged.
        public var bridge: String?
        public init(
            name: String, index: Int, mac: String, mtu: Int, kind: String, up: Bool = true, addresses: [Address],
            hostName: String?, bridge: String?
        ) {
            self.name = name
            self.index = index
            self.mac = mac
            self.mtu = mtu
            self.kind = kind
            self.up = up
            self.addresses = addresses
            self.hostName = hostName
            self.bridge = bridge
        }
        /// Whether Martlet can make it again: a veth plugged into a bridge of the host.
        public var isSupported: Bool { kind == "veth" && hostName != nil && bridge != nil }
    }

    /// A route that somebody set (the kernel's own come with the addresses).
    public struct Route: Codable, Sendable, Hashable {
        public var ipv6: Bool
        /// `default` or `10.0.0.0/8`
        public var destination: String
        public var gateway: String?
        public var interface: String
        public var source: String?
        public var metric: Int?
        public var scope: String?
        public var onLink: Bool
        public init(
            ipv6: Bool = false, destination: String, gateway: String? = nil, interface: String, source: String? = nil,
            metric: Int? = nil, scope: String? = nil, onLink: Bool = false
        ) {
            self.ipv6 = ipv6
            self.destination = destination
            self.gateway = gateway
            self.interface = interface
            self.source = source
            self.metric = metric
            self.scope = scope
            self.onLink = onLink
        }
    }

    /// A known neighbour. Without it the first packet after the resume waits a second for ARP (docs/design.md).
    public struct Neighbour: Codable, Sendable, Hashable {
        public var address: String
        public var mac: String
        public var interface: String
        public var permanent: Bool
        public init(address: String, mac: String, interface: String, permanent: Bool = false) {
            self.address = address
            self.mac = mac
            self.interface = interface
            self.permanent = permanent
        }
    }

    public var kind: Kind
    /// Where the namespace is bound, for `named`.
    public var path: String?
    /// All interfaces but `lo`.
    public var interfaces: [Interface]
    public var routes: [Route]
    public var neighbours: [Neighbour]
    /// `net.*` settings by name, as in config.json's `linux.sysctl`.
    public var settings: [String: String]
    /// Things in the namespace that Martlet doesn't move: other routing tables, packet filter rules.
    public var extras: [String]

    public init(
        kind: Kind, path: String? = nil, interfaces: [Interface] = [], routes: [Route] = [],
        neighbours: [Neighbour] = [], settings: [String: String] = [:], extras: [String] = []
    ) {
        self.kind = kind
        self.path = path
        self.interfaces = interfaces
        self.routes = routes
        self.neighbours = neighbours
        self.settings = settings
        self.extras = extras
    }

    public static let host = NetworkDescription(kind: .host)
    public static let unnamed = NetworkDescription(kind: .unnamed)
}
