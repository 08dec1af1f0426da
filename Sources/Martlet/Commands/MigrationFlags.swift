public import ArgumentParser
import Model
public import Plan

/// The options of `migrate`, `check` and `plan`, as the command-line contract names them.
struct MigrationFlags: ParsableArguments {
    @Option(help: "Which engine runs the container: runc (found by itself when the name is unambiguous).")
    var engine: String?

    @Option(help: "auto, stop-copy, page-server, pre-copy, pre-copy-page-server, post-copy or hybrid: see docs/methods.md.")
    var method = "auto"

    @Option(help: ArgumentHelp("Longest downtime wished for.", valueName: "ms"))
    var downtimeLimit: Int?

    @Flag(help: "Roll back rather than freeze longer than the limit.")
    var strictLimit = false

    @Option(help: ArgumentHelp("Freeze as soon as no more than this is dirty (1048576, 512k, 16m, 1g).", valueName: "bytes"))
    var memoryThreshold: Size?

    @Option(help: ArgumentHelp("Most rounds before the freeze.", valueName: "n"))
    var maxRounds: Int?

    @Option(help: ArgumentHelp("Parallel data streams (2; 8 where the round trip takes 30 ms or more).", valueName: "n"))
    var streams: Int?

    @Option(help: ArgumentHelp("Most bytes a second, of all streams together.", valueName: "bytes"))
    var bandwidth: Size?

    @Option(
        help: ArgumentHelp("Niceness (0 to 19) of Martlet at both hosts while the container runs here.", valueName: "n"))
    var nice: Int?

    @Flag(help: "Where rounds don't converge, slow the container down step by step until the freeze.")
    var autoConverge = false

    @Option(help: "auto, none, lz4 or zstd.")
    var compress: MigrationOptions.Compression = .auto

    @Option(help: "auto, layer, image or shared.")
    var filesystem: MigrationOptions.Files = .auto

    @Flag(help: "Keep established TCP connections.")
    var tcpEstablished = false

    @Flag(help: "Close established TCP connections.")
    var tcpClose = false

    @Flag(help: "Leave the stopped container on the source.")
    var keepSource = false

    @Option(help: ArgumentHelp("Give up (and roll back) when it is not decided after this time.", valueName: "s"))
    var timeout: Int?

    @Option(
        help: ArgumentHelp(
            "When the link is lost before the freeze, try so long to go on with the copy (60; 0: roll back at once).",
            valueName: "s"))
    var retryFor: Int?

    @Flag(help: "Never leave memory behind at the source.")
    var noPostCopy = false

    @Option(help: "Force a dirty tracker: auto, write-protect, soft-dirty or content-hash.")
    var tracker: MigrationOptions.Tracker = .auto

    @Option(help: "Force a way to dump: auto, hidden, lazy or full.")
    var dump: MigrationOptions.DumpWay = .auto

    @Option(help: "Force a way to restore: auto, fault-server or images.")
    var restore: MigrationOptions.RestoreWay = .auto

    @Option(
        help: ArgumentHelp(
            "Copy a bind-mounted folder too, named by its path on this host or in the container; repeatable.", valueName: "path"))
    var copyVolume: [String] = []

    @Flag(help: "Copy all bind-mounted folders outside the system's own.")
    var copyVolumes = false

    @Flag(help: "Let copied volumes replace folders that the destination has at the same paths.")
    var replaceVolumes = false

    /// - Throws: what is wrong, in words.
    func options() throws -> MigrationOptions {
        var options = MigrationOptions()
        do { options.method = try Method.parse(method) } catch { throw ValidationError(error.description) }
        options.downtimeLimit = downtimeLimit
        options.limitIsStrict = strictLimit
        options.memoryThreshold = memoryThreshold?.bytes
        options.maxRounds = maxRounds ?? options.maxRounds
        options.streams = streams
        options.bandwidth = bandwidth?.bytes
        options.nice = nice ?? options.nice
        options.autoConverge = autoConverge
        options.compression = compress
        options.files = filesystem
        if tcpEstablished && tcpClose {
            throw ValidationError("--tcp-established and --tcp-close exclude each other")
        }
        options.tcp = tcpEstablished ? .established : tcpClose ? .close : .auto
        options.keepSource = keepSource
        options.timeout = timeout
        options.retryFor = retryFor ?? options.retryFor
        options.allowPostCopy = !noPostCopy
        options.tracker = tracker
        options.dumpWay = dump
        options.restoreWay = restore
        options.copyVolumes = copyVolume
        options.copyAllVolumes = copyVolumes
        options.replaceVolumes = replaceVolumes
        if let mistake = options.mistakes().first { throw ValidationError(mistake.description) }
        if let engine, engine != "runc" {
            throw ValidationError("--engine \(engine): this build moves runc containers only (hint: other engines follow)")
        }
        return options
    }
}

extension MigrationOptions.Compression: ExpressibleByArgument {}
extension MigrationOptions.Files: ExpressibleByArgument {}
extension MigrationOptions.Tracker: ExpressibleByArgument {}
extension MigrationOptions.DumpWay: ExpressibleByArgument {}
extension MigrationOptions.RestoreWay: ExpressibleByArgument {}

/// A number of bytes as people write it: digits and an optional k, m or g (powers of 1024).
struct Size: ExpressibleByArgument {
    var bytes: ByteCount

    init?(argument: String) {
        var digits = argument.lowercased()[...]
        if digits.hasSuffix("ib") { digits.removeLast(2) } else if digits.hasSuffix("b") { digits.removeLast() }
        var factor = 1
        if let last = digits.last, let power = ["k": 10, "m": 20, "g": 30][last] {
            factor = 1 << power
            digits.removeLast()
        }
        guard let number = Int(digits), number >= 0 else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        guard !overflow else { return nil }
        bytes = ByteCount(product)
    }
}
