import Host

/// The options of a container's own CRIU configuration file that a migration can honour.
///
/// The file (annotation `org.criu.config`, else /etc/criu/runc.conf) goes over the request's options, so a line such
/// as `manage-cgroups full` or `network-lock iptables`, right for a plain checkpoint, would break what Martlet does.
/// Both sides therefore use a copy with those lines alone that say how to treat a container's resources. This is also
/// how the two options that runc has no flag for get through without writing a file for all containers of a host.
public struct CriuConfiguration: Hashable, Sendable, Codable {
    /// What is kept, as lines.
    public var kept: [String]
    /// What is left out, for a warning.
    public var ignored: [String]

    /// criu(8); options without those of the run itself: folders, log, cgroups, network, memory.
    static let honoured: Set<String> = [
        "cpu-cap", "enable-external-masters", "enable-external-sharing", "enable-fs", "evasive-devices", "ext-mount-map",
        "ext-unix-sk", "external", "file-locks", "file-validation", "force-irmap", "ghost-limit", "irmap-scan-path",
        "link-remap", "lsm-profile", "mntns-compat-mode", "shell-job", "skip-file-rwx-check", "skip-mnt", "tcp-close",
        "skip-in-flight", "tcp-established", "timeout", "weak-sysctls",
    ]

    public init(_ text: String) {
        kept = []
        ignored = []
        for line in text.split(separator: "\n") {
            let content = line.drop { $0 == " " || $0 == "\t" }
            guard let first = content.first, first != "#" else { continue }
            let name = content.prefix { $0 != " " && $0 != "\t" && $0 != "=" }
            if name == "verbosity", let level = Int32(content.drop { !$0.isNumber }), (0...4).contains(level) {
                logLevel = level
            } else if Self.honoured.contains(String(name)) {
                kept.append(String(content))
            } else {
                ignored.append(String(content))
            }
        }
    }

    /// Reads the file that a container's configuration names.
    /// - Returns: without any options if there is no file, as CRIU sees it too.
    public init(of config: OCIConfig) {
        let bytes = config.criuConfigurationFile.flatMap { try? FileIO.readIfPresent($0) } ?? []
        self.init(String(decoding: bytes, as: UTF8.self))
    }

    /// `ghost-limit`: bytes, or with K, M or G (criu/util.c, parse_size). Nil if it isn't set, or can't be read.
    public var ghostLimit: Int? {
        for line in kept.reversed() where line.hasPrefix("ghost-limit") {
            let value = line.dropFirst("ghost-limit".count).drop { $0 == " " || $0 == "\t" || $0 == "=" }
            let digits = value.prefix { $0.isNumber }
            guard let number = Int(digits) else { return nil }
            let shift = ["K": 10, "M": 20, "G": 30][value.dropFirst(digits.count).prefix(1).uppercased()] ?? 0
            return number << shift
        }
        return nil
    }

    /// Adds an option of Martlet's own.
    mutating func add(_ option: String) { if !kept.contains(option) { kept.append(option) } }

    /// `verbosity`, to see why a dump or restore fails or lingers: 4 is everything and costs milliseconds. In the request, where it
    /// counts from CRIU's first line on.
    public private(set) var logLevel: Int32?

    public var text: String { kept.map { $0 + "\n" }.joined() }
}
