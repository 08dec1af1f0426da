public import Host

/// How a container that runc (or crun) started is dumped so that a stock `runc restore` takes the images.
///
/// Follows libcontainer/criu_linux.go (runc 1.1.15, Checkpoint and its helpers): the same external mounts by the same
/// keys, the same external namespaces, an empty network namespace. Other than runc it leaves cgroups and the network
/// lock alone, which saves 30 to 200 ms and is Martlet's own business.
public struct DumpPlan: Hashable, Sendable {
    /// Without folders: `request` adds them.
    public var options: CriuOptions
    /// Memory that a lazy restore can fill stays out of the images (criu/mem.c, generate_iovs): a second way to dump without
    /// it. CRIU would begin to serve it behind `post-dump`, so that notification is never answered with anything.
    public var lazyPages = false
    /// Pages go to the page server at the other end of CRIU's descriptor `pageServerDescriptor`, while they are dumped.
    public var toPageServer = false
    public var streams: StandardStreams
    public var configuration: CriuConfiguration

    /// Choices that are the user's.
    public struct Choices: Hashable, Sendable {
        public var tcpClose = false
        public var externalUnixSockets = false
        /// Largest deleted but open file that is carried, in bytes. CRIU's default of 1 MiB fails databases.
        public var ghostLimit: UInt32 = 64 << 20
        /// CRIU's log level: 1 errors, 2 warnings, 4 everything (costs milliseconds in the freeze).
        public var logLevel: Int32 = 1
        /// Seconds for CRIU to stop all tasks. They are frozen already, so this is short unless one can't be stopped
        /// (`UnseizableTasks`), and CRIU's default of 10 would be all downtime.
        public var collectionTimeout: UInt32 = 3
        public init() {}
    }

    /// Looks at a running container.
    /// - Parameters:
    ///   - streams: those that the destination is told of.
    ///   - carried: file systems that travel by themselves.
    /// - Throws: if its processes, namespaces or folders can't be looked at.
    public init(
        container: RuntimeState, config: OCIConfig, rootPath: String, streams: StandardStreams, carried: [CarriedTmpfs] = [],
        choices: Choices = Choices()
    ) throws(SystemError) {
        self.streams = streams
        configuration = CriuConfiguration(of: config)
        // Without it a connection that nobody accepted makes the whole dump fail. `NetworkCut` sees to it that there is none.
        configuration.add("skip-in-flight")
        options = CriuOptions()
        options.pid = container.pid
        options.root = rootPath
        options.logLevel = configuration.logLevel ?? choices.logLevel
        options.logFile = DumpPlan.logName
        options.notifyScripts = true
        options.tcpEstablished = !choices.tcpClose
        options.tcpClose = choices.tcpClose ? true : nil
        options.externalUnixSockets = choices.externalUnixSockets
        options.fileLocks = true
        options.timeout = choices.collectionTimeout
        options.orphanTerminalMaster = true
        options.ghostLimit = choices.ghostLimit
        options.manageCgroups = false
        options.cgroupMode = .ignore
        options.networkLock = .skip
        options.freezeCgroup = container.unifiedCgroup ?? container.cgroupPaths["freezer"]
        options.externalMounts = Self.externalMounts(config: config, rootPath: rootPath, pid: container.pid)
        options.externalMounts += carried.map { .init(key: $0.point, value: $0.point) }
        options.external = try Self.externalNamespaces(config) + streams.externalKeys
        options.emptyNamespaces = CriuOptions.networkNamespace
    }

    /// The number that a page server's socket has in CRIU.
    public static let pageServerDescriptor: Int32 = 4

    /// The log's name in the work folder.
    public static let logName = "dump.log"

    /// The request, for descriptors that stay open until CRIU has ended.
    public func request(imagesDirectory: Int32, workDirectory: Int32, configurationFile: String?) -> CriuRequest {
        var all = options
        all.imagesDirectory = imagesDirectory
        all.workDirectory = workDirectory
        all.configurationFile = configurationFile
        all.lazyPages = lazyPages ? true : nil
        all.pageServer = toPageServer ? Self.pageServerDescriptor : nil
        return .dump(all)
    }

    /// Bind mounts, masked files and devices, as runc names them.
    static func externalMounts(config: OCIConfig, rootPath: String, pid: Int32) -> [CriuOptions.ExternalMount] {
        var all: [CriuOptions.ExternalMount] = []
        for mount in config.mounts where mount.isBind {
            let point = ScopedPath.resolve(mount.destination, inRoot: rootPath)
            all.append(.init(key: point, value: point))
        }
        for path in config.maskedPaths where isMaskedFile(path, pid: pid) {
            all.append(.init(key: path, value: "/dev/null"))
        }
        // Mounts only in a user namespace; else the device nodes are ordinary files and CRIU never asks.
        for path in defaultDevices + config.devices.map(\.path) where !all.contains(where: { $0.key == path }) {
            all.append(.init(key: path, value: path))
        }
        return all
    }

    /// libcontainer/specconv, AllowedDevices.
    private static let defaultDevices = ["/dev/null", "/dev/random", "/dev/full", "/dev/tty", "/dev/zero", "/dev/urandom"]

    /// Masked folders are tmpfs mounts, which CRIU restores itself.
    private static func isMaskedFile(_ path: String, pid: Int32) -> Bool {
        let inside = "/proc/\(pid)/root\(path)"
        return FileIO.exists(inside) && !FileIO.exists("\(inside)/.")
    }

    /// Network and PID namespaces that are joined by a path belong to somebody else.
    private static func externalNamespaces(_ config: OCIConfig) throws(SystemError) -> [String] {
        var all: [String] = []
        for (kind, name, key) in [(OCIConfig.NamespaceKind.network, "net", "extRootNetNS"), (.pid, "pid", "extRootPidNS")] {
            guard let path = config.namespace(kind)?.path else { continue }
            all.append("\(name)[\(try inode(of: path))]:\(key)")
        }
        return all
    }
}
