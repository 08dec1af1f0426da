/// Options of one request to CRIU: the part of `criu_opts` (CRIU 4.2, images/rpc.proto) that Martlet sets.
///
/// A field that is nil isn't sent, and CRIU's default holds. Descriptors are numbers in *our* process: CRIU opens
/// them through /proc/PID/fd of its peer (criu/cr-service.c, resolve_images_dir_path).
public struct CriuOptions: Hashable, Sendable {
    /// `criu_cg_mode`.
    public enum CgroupMode: UInt64, Sendable { case ignore = 0, none, properties, soft, full, strict, `default` }
    /// `criu_network_lock_method`.
    public enum NetworkLock: UInt64, Sendable { case iptables = 1, nftables, skip }
    /// A mount that isn't dumped but put back by the restore (`ext_mount_map`).
    public struct ExternalMount: Hashable, Sendable {
        /// At a dump the mount point as the container sees it; at a restore the key that the dump gave.
        public var key: String
        /// At a dump the key to note; at a restore the path to bind.
        public var value: String
        public init(key: String, value: String) {
            self.key = key
            self.value = value
        }
    }
    /// A descriptor of CRIU's that takes an external file's place (`inherit_fd`).
    public struct InheritedDescriptor: Hashable, Sendable {
        public var key: String
        /// Number in CRIU's own process.
        public var number: Int32
        public init(key: String, number: Int32) {
            self.key = key
            self.number = number
        }
    }

    /// CLONE_NEWNET, for `emptyNamespaces`.
    public static let networkNamespace: UInt64 = 0x4000_0000

    public var imagesDirectory: Int32?
    public var workDirectory: Int32?
    public var pid: Int32?
    public var leaveRunning: Bool?
    public var externalUnixSockets: Bool?
    public var tcpEstablished: Bool?
    public var tcpClose: Bool?
    public var shellJob: Bool?
    public var fileLocks: Bool?
    public var linkRemap: Bool?
    public var logLevel: Int32?
    public var logFile: String?
    public var notifyScripts: Bool?
    public var root: String?
    /// A connected socket to a page server: its number in CRIU's own process (`criu_page_server_info`, fd).
    public var pageServer: Int32?
    public var externalMounts: [ExternalMount] = []
    public var manageCgroups: Bool?
    public var inherited: [InheritedDescriptor] = []
    public var cgroupMode: CgroupMode?
    /// Largest deleted but open file that goes into the images, in bytes.
    public var ghostLimit: UInt32?
    public var external: [String] = []
    public var emptyNamespaces: UInt64?
    public var freezeCgroup: String?
    /// Seconds for the collection of tasks.
    public var timeout: UInt32?
    public var lazyPages: Bool?
    public var orphanTerminalMaster: Bool?
    /// A file whose options go over those of the request.
    public var configurationFile: String?
    public var networkLock: NetworkLock?

    public init() {}

    /// The submessage's bytes, in the order of field numbers. Also what goes behind another program's options,
    /// where the last value of a field wins and lists grow.
    public func encoded() -> [UInt8] {
        var w = ProtobufWriter()
        if let imagesDirectory { w.field(1, imagesDirectory) }
        if let pid { w.field(2, pid) }
        if let leaveRunning { w.field(3, leaveRunning) }
        if let externalUnixSockets { w.field(4, externalUnixSockets) }
        if let tcpEstablished { w.field(5, tcpEstablished) }
        if let shellJob { w.field(7, shellJob) }
        if let fileLocks { w.field(8, fileLocks) }
        if let logLevel { w.field(9, logLevel) }
        if let logFile { w.field(10, logFile) }
        if let pageServer { w.field(11) { $0.field(4, pageServer) } }
        if let notifyScripts { w.field(12, notifyScripts) }
        if let root { w.field(13, root) }
        if let workDirectory { w.field(17, workDirectory) }
        if let linkRemap { w.field(18, linkRemap) }
        for mount in externalMounts {
            w.field(23) { m in
                m.field(1, mount.key)
                m.field(2, mount.value)
            }
        }
        if let manageCgroups { w.field(24, manageCgroups) }
        for descriptor in inherited {
            w.field(27) { m in
                m.field(1, descriptor.key)
                m.field(2, descriptor.number)
            }
        }
        encodeNewerFields(&w)
        return w.bytes
    }

    private func encodeNewerFields(_ w: inout ProtobufWriter) {
        if let cgroupMode { w.field(34, cgroupMode.rawValue) }
        if let ghostLimit { w.field(35, UInt64(ghostLimit)) }
        for name in external { w.field(37, name) }
        if let emptyNamespaces { w.field(38, emptyNamespaces) }
        if let freezeCgroup { w.field(44, freezeCgroup) }
        if let timeout { w.field(45, UInt64(timeout)) }
        if let lazyPages { w.field(48, lazyPages) }
        if let orphanTerminalMaster { w.field(50, orphanTerminalMaster) }
        if let configurationFile { w.field(51, configurationFile) }
        if let tcpClose { w.field(52, tcpClose) }
        if let networkLock { w.field(64, networkLock.rawValue) }
    }
}
