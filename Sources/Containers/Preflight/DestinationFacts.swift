public import Model

/// What the destination has to look at, taken from the container's facts.
public struct DestinationQuestion: Codable, Sendable, Hashable {
    public var id: String
    public var bundle: String
    /// Folders that will be copied there.
    public var folders: [String]
    /// Those of them whose content at the destination may be replaced, whatever it is (`--replace-volumes`).
    public var replaceable: Set<String>
    /// Sources of bind mounts that won't be copied.
    public var bindSources: [String]
    /// Path of the container's named network namespace; nil if it uses the host's or an unnamed one.
    public var namespacePath: String?
    /// Bridges into which its interfaces have to be plugged.
    public var bridges: Set<String>
    /// Addresses of the container's own interfaces.
    public var addresses: Set<String>
    /// Ports that it will open in the host's namespace; empty if it has its own.
    public var hostPorts: [SocketFacts.Endpoint]

    public init(
        id: String, bundle: String, folders: [String], replaceable: Set<String> = [], bindSources: [String],
        namespacePath: String?, bridges: Set<String>, addresses: Set<String>, hostPorts: [SocketFacts.Endpoint]
    ) {
        self.id = id
        self.bundle = bundle
        self.folders = folders
        self.replaceable = replaceable
        self.bindSources = bindSources
        self.namespacePath = namespacePath
        self.bridges = bridges
        self.addresses = addresses
        self.hostPorts = hostPorts
    }
}

extension ContainerFacts {
    /// What the destination must be asked for this container.
    public func question(wishes: PreflightWishes) -> DestinationQuestion {
        let copied = trees.map(\.path)
        return DestinationQuestion(
            id: id, bundle: bundle, folders: copied,
            replaceable: wishes.volumes.replace ? Set(copied.filter { $0 != bundle && $0 != rootfs }) : [],
            bindSources: binds.map(\.source).filter { source in !copied.contains { source.isAtOrBelow($0) } },
            namespacePath: network.path,
            bridges: Set(network.interfaces.compactMap { wishes.bridge ?? $0.bridge }),
            addresses: Set(network.interfaces.flatMap { $0.addresses.filter { !$0.isLinkLocal }.map(\.text) }),
            hostPorts: network.kind == .host ? sockets.bound : []
        )
    }
}

/// What the destination found.
public struct DestinationFacts: Codable, Sendable, Hashable {
    public var host: HostFacts
    /// A container of this ID exists already.
    public var idTaken: Bool
    /// What is in the way at each folder to be copied, by path.
    public var places: [String: BundlePlace.Judgement]
    /// Free bytes of the file system that will hold each folder, by path; folders of one file system share a number.
    public var freeSpace: [String: FreeSpace]
    public var availableMemory: ByteCount
    public var missingBindSources: [String]
    /// What stands at the sources of bind mounts, where that is recognizable (`BindSight`).
    public var bindSights: [String: String] = [:]
    public var namespaceTaken: Bool
    public var missingBridges: Set<String>
    /// Asked addresses that this host has itself.
    public var takenAddresses: Set<String>
    /// Asked addresses that something else has on the bridges of this host, with who that is in words.
    public var rivals: [String: String] = [:]
    /// Ports in use in the host's namespace.
    public var usedPorts: [SocketFacts.Endpoint]

    public struct FreeSpace: Codable, Sendable, Hashable {
        /// Tells file systems apart.
        public var device: UInt64
        public var bytes: ByteCount
        public var entries: Int?
        public init(device: UInt64, bytes: ByteCount, entries: Int?) {
            self.device = device
            self.bytes = bytes
            self.entries = entries
        }
    }

    public init(
        host: HostFacts, idTaken: Bool = false, places: [String: BundlePlace.Judgement] = [:],
        freeSpace: [String: FreeSpace] = [:], availableMemory: ByteCount, missingBindSources: [String] = [],
        namespaceTaken: Bool = false, missingBridges: Set<String> = [], takenAddresses: Set<String> = [],
        usedPorts: [SocketFacts.Endpoint] = []
    ) {
        self.host = host
        self.idTaken = idTaken
        self.places = places
        self.freeSpace = freeSpace
        self.availableMemory = availableMemory
        self.missingBindSources = missingBindSources
        self.namespaceTaken = namespaceTaken
        self.missingBridges = missingBridges
        self.takenAddresses = takenAddresses
        self.usedPorts = usedPorts
    }
}

/// What the user asked for, as far as the pre-flight cares.
public struct PreflightWishes: Codable, Sendable, Hashable {
    public enum Connections: String, Codable, Sendable, Hashable {
        /// Neither option was given: established connections block.
        case refuse
        /// `--tcp-established`
        case keep
        /// `--tcp-close`
        case close
        /// Neither option was given, and nothing but closing is done.
        case closeUnasked
    }

    public var connections: Connections
    /// Which bind mounts are copied.
    public var volumes = VolumeWishes()
    /// `--bridge`: plug into this bridge instead of the one of the same name.
    public var bridge: String?
    /// Largest deleted file that travels inside CRIU's images (CRIU's own default: 1 MiB, criu/include/cr_options.h).
    public var ghostLimit: ByteCount
    /// Memory follows after the resume, so the destination needs userfaultfd.
    public var lazy: Bool

    public init(
        connections: Connections = .refuse, bridge: String? = nil, ghostLimit: ByteCount = .mebibytes(1),
        lazy: Bool = true
    ) {
        self.connections = connections
        self.bridge = bridge
        self.ghostLimit = ghostLimit
        self.lazy = lazy
    }
}

extension String {
    /// Whether this absolute path is `folder` or lies in it. Both without trailing slash or dots.
    func isAtOrBelow(_ folder: String) -> Bool {
        self == folder || folder == "/" || hasPrefix(folder + "/")
    }
}
