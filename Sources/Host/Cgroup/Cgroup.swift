import Glibc

/// A control group: where its files are, who is in it. cgroups(7).
public struct Cgroup: Hashable, Sendable {
    public enum Version: Sendable { case v1, v2 }
    public let version: Version
    /// Folder in the file system.
    public let path: String

    /// A folder of the cgroup file system; the version is seen from its files.
    public init(path: String) {
        self.path = path
        // The root of v2 has cgroup.controllers but neither cgroup.freeze nor cgroup.events.
        version = FileIO.exists("\(path)/cgroup.controllers") ? .v2 : .v1
    }

    public var exists: Bool { FileIO.exists("\(path)/cgroup.procs") }

    /// Every process in this group and the groups below it, ascending. A snapshot: processes may fork meanwhile.
    public func processes() throws(SystemError) -> [Int32] {
        var all: [Int32] = []
        try collect(path, &all)
        all.sort()
        return all
    }

    private func collect(_ folder: String, _ all: inout [Int32]) throws(SystemError) {
        do {
            let bytes = try FileIO.read("\(folder)/cgroup.procs")
            all += ProcFS.parseNumbers(bytes.span)
        } catch {
            // A threaded group answers EOPNOTSUPP: its processes are listed in the group above it.
            if error.errno == ENOENT || error.errno == ENODEV { return }
            if error.errno != EOPNOTSUPP { throw error }
        }
        for name in try Cgroup.folders(in: folder) { try collect("\(folder)/\(name)", &all) }
    }

    static func folders(in path: String) throws(SystemError) -> [String] {
        guard let folder = opendir(path) else {
            if errno == ENOENT { return [] }  // removed meanwhile
            throw SystemError(call: "opendir", subject: path, errno: errno)
        }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            if entry.pointee.d_type != UInt8(DT_DIR) { continue }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// The group by which a process can be frozen: its v2 group unless that is the root, else its v1 freezer group.
    /// - Returns: nil if neither exists (a process of the host itself).
    public static func freezable(of pid: Int32) throws(SystemError) -> Cgroup? {
        let memberships = try ProcFS.cgroups(of: pid), mounts = try MountInfo.ofSelf()
        if let unified = memberships.first(where: \.isUnified), unified.path != "/",
            let mount = mounts.first(where: { $0.type == "cgroup2" }), let path = place(unified.path, under: mount)
        {
            return Cgroup(path: path)
        }
        if let freezer = memberships.first(where: { $0.controllers.contains("freezer") }), freezer.path != "/",
            let mount = mounts.first(where: { $0.type == "cgroup" && $0.superOptions.contains("freezer") }),
            let path = place(freezer.path, under: mount)
        {
            return Cgroup(path: path)
        }
        return nil
    }

    /// Where a hierarchy's path is found beneath a mount, which may show a part of the hierarchy only.
    static func place(_ path: String, under mount: MountInfo) -> String? {
        let inside = mount.root == "/" ? path : path.hasPrefix(mount.root) ? String(path.dropFirst(mount.root.count)) : nil
        guard let inside, !path.contains("/../") else { return nil }
        return mount.mountPoint + inside
    }

    /// Mount point of the cgroup2 hierarchy, if there is one.
    public static func unifiedMountPoint() throws(SystemError) -> String? {
        try MountInfo.ofSelf().first { $0.type == "cgroup2" }?.mountPoint
    }
}
