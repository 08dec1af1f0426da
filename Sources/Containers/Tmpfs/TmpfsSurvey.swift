public import Host

/// Which tmpfs of a container can be carried, and which are left to CRIU.
public struct TmpfsSurvey: Sendable, Hashable {
    public var carried: [CarriedTmpfs] = []
    public var imaged: [ImagedTmpfs] = []

    public init() {}

    /// Looks at a running container.
    /// - Parameters:
    ///   - pid: its first process.
    ///   - pids: all of its processes; those that end meanwhile don't count.
    public init(config: OCIConfig, pid: Int32, pids: [Int32]) throws(SystemError) {
        let own = try Namespaces.identity("mnt", of: pid)
        let others = pids.contains { (try? Namespaces.identity("mnt", of: $0)).map { $0 != own } ?? false }
        self.init(config: config, mounts: try MountInfo.of(pid: pid), othersMount: others)
    }

    /// - Parameters:
    ///   - mounts: of the container's first process.
    ///   - othersMount: a process has a mount namespace of its own.
    init(config: OCIConfig, mounts: [MountInfo], othersMount: Bool) {
        for wanted in config.mounts where wanted.type == "tmpfs" && !wanted.isBind && !wanted.isReadOnly {
            let point = Self.plain(wanted.destination)
            // Device nodes, and what others mount below it: left as it is.
            if point == "/dev" { continue }
            let here = mounts.filter { $0.mountPoint == point }
            guard let mount = here.last else { continue }
            if let why = Self.hindrance(mount, here.count, mounts, config, othersMount) {
                imaged.append(ImagedTmpfs(point: point, why: why))
            } else {
                carried.append(CarriedTmpfs(mount))
            }
        }
    }

    private static func hindrance(
        _ mount: MountInfo, _ count: Int, _ mounts: [MountInfo], _ config: OCIConfig, _ othersMount: Bool
    ) -> String? {
        if config.namespace(.user) != nil { return "the container has a user namespace, to which the file system belongs" }
        if othersMount { return "a process has a mount namespace of its own" }
        if count > 1 { return "something is mounted over it" }
        if mount.type != "tmpfs" || mount.root != "/" { return "something else is mounted there than was configured" }
        if !mount.propagation.isEmpty { return "mounts in it are shared with others" }
        if mounts.filter({ $0.device == mount.device }).count > 1 { return "it is mounted in a second place too" }
        if mounts.contains(where: { $0.mountPoint.hasPrefix(mount.mountPoint + "/") }) { return "something is mounted in it" }
        return nil
    }

    /// Without doubled and closing slashes, as mountinfo has it.
    private static func plain(_ path: String) -> String { "/" + path.split(separator: "/").joined(separator: "/") }
}
