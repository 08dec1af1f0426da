/// All that a restore needs to know before it starts.
public struct RestoreRequest: Sendable {
    public var runtime: RuncRuntime
    public var id: String
    /// Folder with config.json.
    public var bundle: String
    /// May be empty when the restore starts: the images are due when it is released.
    public var imagesDirectory: String
    /// CRIU's log, and `lazy-pages.socket`, at which the fault server listens before the release.
    public var workDirectory: String
    public var shim: CriuShim
    /// Anonymous memory comes from the fault server; false reads all from the images.
    public var isLazy = true
    public var streams: StandardStreams
    public var configuration: CriuConfiguration
    /// The configuration has a cgroup namespace of its own. CRIU, told to leave cgroups alone, would restore into the
    /// host's; so the library unshares first, in the container's cgroup, where runc has put CRIU.
    public var newCgroupNamespace: Bool
    /// File systems that are in place: the container's mount point, and the folder that is mounted there. runc itself only does this
    /// for bind mounts.
    public var mounts: [CriuOptions.ExternalMount] = []
    public var choices = DumpPlan.Choices()
    /// CRIU's program, if it isn't `criu` in the PATH.
    public var criu: String?
    /// From the start to the first hold.
    public var startLimit = Duration.seconds(20)
    /// From the release to the second hold. Plain restores read all memory in it (0.7 s/GB measured).
    public var restoreLimit = Duration.seconds(60)

    public init(
        runtime: RuncRuntime, id: String, bundle: OCIBundle, imagesDirectory: String, workDirectory: String,
        shim: CriuShim, streams: StandardStreams, configuration: CriuConfiguration
    ) {
        self.runtime = runtime
        self.id = id
        self.bundle = bundle.path
        self.imagesDirectory = imagesDirectory
        self.workDirectory = workDirectory
        self.shim = shim
        self.streams = streams
        self.configuration = configuration
        newCgroupNamespace = bundle.config.namespace(.cgroup).map { $0.path == nil } ?? false
    }

    /// runc's own name for CRIU's log, in the work folder.
    var criuLog: String { "\(workDirectory)/restore.log" }
    var runtimeLog: String { "\(workDirectory)/runtime.log" }

    /// runc's arguments.
    var arguments: [String] {
        var all = ["--root", runtime.root, "--log", runtimeLog]
        if let criu { all += ["--criu", criu] }
        all += [
            "restore", "--detach", "--image-path", imagesDirectory, "--work-path", workDirectory, "--bundle", bundle,
            "--file-locks",
        ]
        if isLazy { all.append("--lazy-pages") }
        if !choices.tcpClose { all.append("--tcp-established") }
        if choices.externalUnixSockets { all.append("--ext-unix-sk") }
        return all + [id]
    }

    /// What goes behind runc's options in its request, where the last value wins: runc has no flags for them.
    /// The configuration file takes the place of the one that runc names (`CriuConfiguration`).
    var options: CriuOptions {
        var options = CriuOptions()
        options.manageCgroups = false
        options.cgroupMode = .ignore
        options.networkLock = .skip
        options.logLevel = configuration.logLevel ?? choices.logLevel
        options.configurationFile = shim.configurationPath
        options.tcpClose = choices.tcpClose ? true : nil
        options.inherited = streams.inherited
        options.externalMounts = mounts
        return options
    }
}
