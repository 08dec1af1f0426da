public import Model

/// What the source tells about the container, enough for the destination to look for blockers and to prepare.
public struct ContainerDescription: Hashable, Sendable, Codable {
    public enum NetworkKind: String, Hashable, Sendable, Codable {
        /// No network but loopback.
        case none
        /// The host's own network: connections can't move.
        case host
        /// A namespace made by the engine without an address that Martlet may move.
        case own
        /// A namespace with an address of its own on a network that both hosts reach: connections move.
        case movable
    }
    public struct Process: Hashable, Sendable, Codable {
        /// Inside the container's own PID namespace.
        public var pid: Int32
        public var name: String
        public init(pid: Int32, name: String) {
            self.pid = pid
            self.name = name
        }
    }

    public var id: String
    public var engine: String
    /// Paths on the source.
    public var bundle: String
    public var rootfs: String
    /// The text of the bundle's `config.json`.
    public var config: String
    public var processes: [Process]
    /// Resident memory of all processes.
    public var memory: ByteCount
    public var network: NetworkKind
    /// Addresses in CIDR form with the interface that has them, such as `eth0 10.77.1.5/24`.
    public var addresses: [String]
    /// Numbers of open TCP connections and listening sockets: each costs about 0.12 ms of downtime (together.md).
    public var sockets: Int

    public init(
        id: String, engine: String, bundle: String, rootfs: String, config: String, processes: [Process],
        memory: ByteCount, network: NetworkKind, addresses: [String], sockets: Int
    ) {
        self.id = id
        self.engine = engine
        self.bundle = bundle
        self.rootfs = rootfs
        self.config = config
        self.processes = processes
        self.memory = memory
        self.network = network
        self.addresses = addresses
        self.sockets = sockets
    }
}

/// What a host can do; each side sends its own.
public struct Capabilities: Hashable, Sendable, Codable {
    public var host: String
    /// `uname -r`.
    public var kernel: String
    /// `uname -m`: must be equal on both.
    public var architecture: String
    /// Flags of /proc/cpuinfo: the destination must have all that the source has.
    public var cpuFeatures: [String]
    /// Such as `4.2.1`; nil if CRIU is not installed.
    public var criu: String?
    /// Runtime and version, such as `runc 1.1.15`.
    public var runtime: String?
    /// What this host's CRIU and kernel lack, and why, in words. What isn't in it is there.
    public var missing: [Ability: String]
    public var codecs: [String]
    public var freeMemory: ByteCount

    public init(
        host: String, kernel: String, architecture: String, cpuFeatures: [String], criu: String?, runtime: String?,
        missing: [Ability: String] = [:], codecs: [String], freeMemory: ByteCount
    ) {
        self.host = host
        self.kernel = kernel
        self.architecture = architecture
        self.cpuFeatures = cpuFeatures
        self.criu = criu
        self.runtime = runtime
        self.missing = missing
        self.codecs = codecs
        self.freeMemory = freeMemory
    }
}
