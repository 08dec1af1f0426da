public import Model

/// What the source found out about the container and its processes, without freezing or touching anything.
public struct ContainerFacts: Codable, Sendable, Hashable {
    public enum State: String, Codable, Sendable, Hashable { case running, paused, stopped }

    /// A bind mount of the container's configuration.
    public struct Bind: Codable, Sendable, Hashable {
        public var source: String
        public var destination: String
        /// What makes the source recognizable on another host (`BindSight`); nil if nothing does.
        public var sight: String?
        public init(source: String, destination: String, sight: String? = nil) {
            self.source = source
            self.destination = destination
            self.sight = sight
        }
    }

    /// One folder that has to be copied, and how large it is.
    public struct Tree: Codable, Sendable, Hashable {
        public var path: String
        /// Allocated blocks, holes not counted.
        public var bytes: ByteCount
        public var entries: Int
        public init(path: String, bytes: ByteCount, entries: Int) {
            self.path = path
            self.bytes = bytes
            self.entries = entries
        }
    }

    /// A process inside the container that its first process didn't start (runc exec, nsenter).
    public struct Guest: Codable, Sendable, Hashable {
        public var pid: Int32
        public var command: String
        public init(pid: Int32, command: String) {
            self.pid = pid
            self.command = command
        }
    }

    public var id: String
    public var state: State
    /// `process.terminal` in config.json.
    public var terminal: Bool
    public var bundle: String
    public var rootfs: String
    public var binds: [Bind]
    public var trees: [Tree]
    public var processes: [ProcessFacts]
    public var sockets: SocketFacts
    /// Resident and swapped memory of all processes.
    public var memory: ByteCount
    public var guests: [Guest]
    /// cgroups below the container's own.
    public var nestedGroups: Int
    public var network: NetworkDescription
    /// True if the container has no PID namespace of its own.
    public var sharesProcessIDs: Bool
    /// Its own tmpfs, such as /dev/shm.
    public var tmpfs: [CarriedTmpfs]
    /// Those that go the old way.
    public var imagedTmpfs: [ImagedTmpfs]

    public init(
        id: String, state: State, terminal: Bool, bundle: String, rootfs: String, binds: [Bind], trees: [Tree],
        processes: [ProcessFacts], sockets: SocketFacts, memory: ByteCount, guests: [Guest], nestedGroups: Int,
        network: NetworkDescription, sharesProcessIDs: Bool, tmpfs: TmpfsSurvey = TmpfsSurvey()
    ) {
        self.id = id
        self.state = state
        self.terminal = terminal
        self.bundle = bundle
        self.rootfs = rootfs
        self.binds = binds
        self.trees = trees
        self.processes = processes
        self.sockets = sockets
        self.memory = memory
        self.guests = guests
        self.nestedGroups = nestedGroups
        self.network = network
        self.sharesProcessIDs = sharesProcessIDs
        (self.tmpfs, imagedTmpfs) = (tmpfs.carried, tmpfs.imaged)
    }
}

/// What /proc tells about one process.
public struct ProcessFacts: Codable, Sendable, Hashable {
    /// An open file that no name leads to any more.
    public struct DeletedFile: Codable, Sendable, Hashable {
        public var path: String
        public var size: ByteCount
        public init(path: String, size: ByteCount) {
            self.path = path
            self.size = size
        }
    }

    public var pid: Int32
    public var command: String
    /// The program is a 32-bit one.
    public var is32Bit: Bool
    /// PID of a debugger, 0 if none.
    public var tracer: Int32
    /// Open `anon_inode:` descriptors by kind, without the brackets: `io_uring`, `eventfd`, `inotify`.
    public var anonymousInodes: [String: Int]
    /// Paths of open or mapped character and block devices, as the process sees them.
    public var devices: [String]
    /// Protocol names of its sockets that are neither TCP, UDP, Unix nor netlink: `SCTP`, `AF_VSOCK`.
    public var otherSockets: [String]
    public var hugePages: ByteCount
    public var deletedFiles: [DeletedFile]
    /// What the destination reads before the restore.
    public var mappedFiles: [MappedFile]
    /// Security label (/proc/PID/attr/current), nil if unconfined or none.
    public var label: String?

    public init(
        pid: Int32, command: String, is32Bit: Bool = false, tracer: Int32 = 0, anonymousInodes: [String: Int] = [:],
        devices: [String] = [], otherSockets: [String] = [], hugePages: ByteCount = .zero,
        deletedFiles: [DeletedFile] = [], mappedFiles: [MappedFile] = [], label: String? = nil
    ) {
        self.pid = pid
        self.command = command
        self.is32Bit = is32Bit
        self.tracer = tracer
        self.anonymousInodes = anonymousInodes
        self.devices = devices
        self.otherSockets = otherSockets
        self.hugePages = hugePages
        self.deletedFiles = deletedFiles
        self.mappedFiles = mappedFiles
        self.label = label
    }
}

/// The container's sockets, of all its processes together.
public struct SocketFacts: Codable, Sendable, Hashable {
    public enum Transport: String, Codable, Sendable, Hashable { case tcp, udp }

    /// A local address with a port.
    public struct Endpoint: Codable, Sendable, Hashable, CustomStringConvertible {
        public var transport: Transport
        /// Text form, without brackets; `0.0.0.0` and `::` are any address.
        public var address: String
        public var port: UInt16
        public init(_ transport: Transport, _ address: String, _ port: UInt16) {
            self.transport = transport
            self.address = address
            self.port = port
        }
        public var description: String {
            "\(transport.rawValue) " + (address.contains(":") ? "[\(address)]" : address) + ":\(port)"
        }
        var isAny: Bool { address == "0.0.0.0" || address == "::" }

        /// Whether the kernel refuses to bind one beside the other.
        ///
        /// A socket at `::` also takes IPv4's port unless it is IPV6_V6ONLY, which /proc doesn't tell: counted as a clash.
        func clashes(with other: Endpoint) -> Bool {
            guard transport == other.transport, port == other.port else { return false }
            if address == other.address || address == "::" || other.address == "::" { return true }
            let sameFamily = address.contains(":") == other.address.contains(":")
            return sameFamily && (isAny || other.isAny)
        }
    }

    /// A TCP connection that is not listening and not closed.
    public struct Connection: Codable, Sendable, Hashable {
        public var local: Endpoint
        public var peer: Endpoint
        public init(local: Endpoint, peer: Endpoint) {
            self.local = local
            self.peer = peer
        }
    }

    /// A Unix socket whose other end is held by no process of the container.
    public struct OutsideUnix: Codable, Sendable, Hashable {
        /// The name that either end is bound to, empty for socketpairs.
        public var name: String
        public var inode: UInt64
        public init(name: String, inode: UInt64) {
            self.name = name
            self.inode = inode
        }
    }

    /// Listening TCP sockets and bound UDP ones.
    public var bound: [Endpoint]
    public var connections: [Connection]
    public var outsideUnix: [OutsideUnix]

    public init(bound: [Endpoint] = [], connections: [Connection] = [], outsideUnix: [OutsideUnix] = []) {
        self.bound = bound
        self.connections = connections
        self.outsideUnix = outsideUnix
    }
}
