import Host

/// A running container as its runtime has noted it: /run/runc/ID/state.json, and crun's status file.
public struct RuntimeState: Sendable {
    public var id: String
    /// The container's first process, in our numbering.
    public var pid: Int32
    /// The bundle's folder. Docker and podman keep theirs elsewhere than one would guess: trust this.
    public var bundle: String
    /// Absolute root file system, if the state tells.
    public var rootPath: String?
    /// By controller; the unified hierarchy has the empty name.
    public var cgroupPaths: [String: String]
    /// /proc/PID/ns/KIND, by the kind's name as in config.json's types.
    public var namespacePaths: [String: String]
    /// Start time of the first process in clock ticks since boot, which tells a reused number; 0 if unknown.
    public var startTime: UInt64
    public var json: JSONValue

    /// The unified (v2) cgroup's folder.
    public var unifiedCgroup: String? { cgroupPaths[""] }

    /// Parses runc's state.json.
    public init(runcState bytes: [UInt8], path: String) throws(BundleError) {
        let json: JSONValue
        do { json = try JSONValue(parsing: bytes) } catch { throw .malformed(path: path, why: "\(error)") }
        guard let id = json["id"]?.string, let pid = json["init_process_pid"]?.integer.flatMap({ Int32(exactly: $0) }) else {
            throw .malformed(path: path, why: "it has no id or no init_process_pid")
        }
        self.json = json
        self.id = id
        self.pid = pid
        startTime = json["init_process_start"]?.integer.flatMap { UInt64(exactly: $0) } ?? 0
        rootPath = json[["config", "rootfs"]]?.string
        // runc notes the bundle as a label "bundle=PATH" among the container's.
        let labels = json[["config", "labels"]]?.strings ?? []
        bundle = labels.first { $0.hasPrefix("bundle=") }.map { String($0.dropFirst(7)) } ?? ""
        cgroupPaths = [:]
        for member in json["cgroup_paths"]?.members ?? [] { cgroupPaths[member.name] = member.value.string }
        namespacePaths = [:]
        for member in json["namespace_paths"]?.members ?? [] { namespacePaths[Self.kind(member.name)] = member.value.string }
    }

    /// runc's NEWNET and so on in config.json's words.
    private static func kind(_ name: String) -> String {
        let kinds = [
            "NEWNS": "mount", "NEWNET": "network", "NEWPID": "pid", "NEWIPC": "ipc", "NEWUTS": "uts",
            "NEWUSER": "user", "NEWCGROUP": "cgroup", "NEWTIME": "time",
        ]
        return kinds[name] ?? name
    }
}
