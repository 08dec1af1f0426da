/// What Martlet reads and edits in an OCI bundle's config.json (runtime-spec 1.2). All else is kept as it is.
public struct OCIConfig: Sendable {
    /// The whole document. Edits made here or through the properties are what is written back.
    public var json: JSONValue

    public init(json: JSONValue) { self.json = json }

    public struct User: Hashable, Sendable {
        public var uid: UInt32
        public var gid: UInt32
        public var additionalGIDs: [UInt32]
    }

    public struct Mount: Hashable, Sendable {
        /// Absolute, as the container sees it.
        public var destination: String
        public var type: String
        public var source: String
        public var options: [String]
        /// Runtimes treat a mount with one of these options as a bind, whatever its type says.
        public var isBind: Bool { type == "bind" || options.contains("bind") || options.contains("rbind") }
        public var isReadOnly: Bool { options.contains("ro") }
        /// runc's and CRIU's word for both versions.
        public var isCgroup: Bool { type == "cgroup" || type == "cgroup2" }
    }

    public enum NamespaceKind: String, Hashable, Sendable, CaseIterable { case pid, network, mount, ipc, uts, user, cgroup, time }

    public struct Namespace: Hashable, Sendable {
        public var kind: NamespaceKind
        /// A namespace that exists already and is joined; nil for a new one.
        public var path: String?
    }

    public struct Device: Hashable, Sendable {
        public var path: String
        public var type: String
        public var major: Int
        public var minor: Int
    }

    public struct Hook: Hashable, Sendable {
        public var stage: String
        public var path: String
        public var arguments: [String]
    }

    public var arguments: [String] { json[["process", "args"]]?.strings ?? [] }
    public var environment: [String] { json[["process", "env"]]?.strings ?? [] }
    public var workingDirectory: String { json[["process", "cwd"]]?.string ?? "/" }
    public var hasTerminal: Bool { json[["process", "terminal"]]?.bool ?? false }
    public var user: User {
        func id(_ value: JSONValue?) -> UInt32 { value?.integer.flatMap { UInt32(exactly: $0) } ?? 0 }
        let user = json[["process", "user"]]
        return User(
            uid: id(user?["uid"]), gid: id(user?["gid"]), additionalGIDs: (user?["additionalGids"]?.array ?? []).map { id($0) })
    }

    /// As written: relative to the bundle or absolute.
    public var rootPath: String {
        get { json[["root", "path"]]?.string ?? "rootfs" }
        set { json[["root", "path"]] = .string(newValue) }
    }
    public var isRootReadOnly: Bool { json[["root", "readonly"]]?.bool ?? false }
    public var hostname: String? { json["hostname"]?.string }
    public var cgroupsPath: String? {
        get { json[["linux", "cgroupsPath"]]?.string }
        set { json[["linux", "cgroupsPath"]] = newValue.map(JSONValue.string) }
    }
    public var maskedPaths: [String] { json[["linux", "maskedPaths"]]?.strings ?? [] }
    public var readOnlyPaths: [String] { json[["linux", "readonlyPaths"]]?.strings ?? [] }
    public var hasSeccomp: Bool { json[["linux", "seccomp"]]?.members != nil }
    public var rootPropagation: String? { json[["linux", "rootfsPropagation"]]?.string }

    public var mounts: [Mount] {
        (json["mounts"]?.array ?? []).compactMap { mount in
            guard let destination = mount["destination"]?.string else { return nil }
            return Mount(
                destination: destination, type: mount["type"]?.string ?? "", source: mount["source"]?.string ?? "",
                options: mount["options"]?.strings ?? [])
        }
    }

    public var namespaces: [Namespace] {
        (json[["linux", "namespaces"]]?.array ?? []).compactMap { entry in
            guard let kind = entry["type"]?.string.flatMap(NamespaceKind.init) else { return nil }
            let path = entry["path"]?.string
            return Namespace(kind: kind, path: path?.isEmpty == false ? path : nil)
        }
    }
    public func namespace(_ kind: NamespaceKind) -> Namespace? { namespaces.first { $0.kind == kind } }

    /// Makes a namespace one that is joined at a path.
    public mutating func setNamespacePath(_ path: String, of kind: NamespaceKind) {
        var list = json[["linux", "namespaces"]]?.array ?? []
        if let index = list.firstIndex(where: { $0["type"]?.string == kind.rawValue }) {
            list[index]["path"] = .string(path)
        } else {
            list.append(.object([.init("type", .string(kind.rawValue)), .init("path", .string(path))]))
        }
        json[["linux", "namespaces"]] = .array(list)
    }

    public var devices: [Device] {
        (json[["linux", "devices"]]?.array ?? []).compactMap { device in
            guard let path = device["path"]?.string else { return nil }
            return Device(
                path: path, type: device["type"]?.string ?? "", major: device["major"]?.integer ?? 0,
                minor: device["minor"]?.integer ?? 0)
        }
    }

    public var hooks: [Hook] {
        (json["hooks"]?.members ?? []).flatMap { stage in
            (stage.value.array ?? []).compactMap { hook in
                hook["path"]?.string.map { Hook(stage: stage.name, path: $0, arguments: hook["args"]?.strings ?? []) }
            }
        }
    }

    public var annotations: [String: String] {
        var all: [String: String] = [:]
        for member in json["annotations"]?.members ?? [] { all[member.name] = member.value.string }
        return all
    }

    /// The file with this container's own CRIU options, which runc hands to CRIU: the annotation's value, no file
    /// if the annotation is empty, a common one if there is none (libcontainer/criu_linux.go).
    public var criuConfigurationFile: String? {
        guard let value = annotations["org.criu.config"] else { return "/etc/criu/runc.conf" }
        return value.isEmpty ? nil : value
    }
}
