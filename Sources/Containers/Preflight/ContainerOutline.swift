/// What runc and config.json say about a container: the input of fact gathering.
public struct ContainerOutline: Sendable, Hashable {
    public var id: String
    public var state: ContainerFacts.State
    /// The container's first process.
    public var initPID: Int32
    public var terminal: Bool
    public var bundle: String
    /// Absolute.
    public var rootfs: String
    /// Bind mounts; `/proc`, `/dev/pts` and other file systems made anew aren't.
    public var binds: [ContainerFacts.Bind]
    /// Folders to copy beside the bundle and the root file system (`--copy-volume`).
    public var volumes: [String]
    /// Path of `linux.namespaces[network]`; `""` for a new one without a path; nil for none (the host's).
    public var networkPath: String?
    /// Names of `linux.sysctl` that begin with `net.`.
    public var networkSettings: [String]
    /// The container's folder in the cgroup v2 hierarchy.
    public var cgroup: String
    /// Its own tmpfs.
    public var tmpfs: TmpfsSurvey

    public init(
        id: String, state: ContainerFacts.State, initPID: Int32, terminal: Bool, bundle: String, rootfs: String,
        binds: [ContainerFacts.Bind], volumes: [String] = [], networkPath: String?, networkSettings: [String] = [],
        cgroup: String, tmpfs: TmpfsSurvey = TmpfsSurvey()
    ) {
        self.id = id
        self.state = state
        self.initPID = initPID
        self.terminal = terminal
        self.bundle = bundle
        self.rootfs = rootfs
        self.binds = binds
        self.volumes = volumes
        self.networkPath = networkPath
        self.networkSettings = networkSettings
        self.cgroup = cgroup
        self.tmpfs = tmpfs
    }

    /// Folders that have to be copied: none lies inside another one unless something else is mounted there.
    public var folders: [String] {
        var all = [bundle]
        for folder in [rootfs] + volumes where !all.contains(where: { folder.isAtOrBelow($0) && Self.sameMount(folder, $0) }) {
            all.append(folder)
        }
        return all
    }

    private static func sameMount(_ a: String, _ b: String) -> Bool {
        MountNumber.of(a).map { $0 == MountNumber.of(b) } ?? false
    }
}
