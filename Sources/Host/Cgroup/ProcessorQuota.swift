/// How much processor time a cgroup may use: cpu.max of cgroup v2 (cgroup-v2.rst), cpu.cfs_quota_us of a v1 hierarchy
/// (sched-bwc.rst).
public struct ProcessorQuota: Hashable, Sendable {
    /// Folder in the cgroup file system.
    public let path: String
    public let version: Cgroup.Version

    /// The group's files as they were, in the order in which they are written back.
    public struct Setting: Hashable, Sendable, Codable {
        public var path: String
        var files: [File]
        struct File: Hashable, Sendable, Codable {
            var name: String
            var value: String
        }
    }

    /// The group that limits a process and is not the root's: v2's if the controller is there, else v1's.
    /// - Returns: nil if there is none, so that a limit would be others' too.
    public static func of(_ cgroup: Cgroup, process pid: Int32) throws(SystemError) -> ProcessorQuota? {
        if cgroup.version == .v2, FileIO.exists("\(cgroup.path)/cpu.max") {
            return ProcessorQuota(path: cgroup.path, version: .v2)
        }
        let memberships = try ProcFS.cgroups(of: pid)
        guard let own = memberships.first(where: { $0.controllers.contains("cpu") }), own.path != "/",
            let mount = try MountInfo.ofSelf().first(where: { $0.type == "cgroup" && $0.superOptions.contains("cpu") }),
            let path = Cgroup.place(own.path, under: mount), FileIO.exists("\(path)/cpu.cfs_quota_us")
        else { return nil }
        return ProcessorQuota(path: path, version: .v1)
    }

    /// The limit as it is.
    public func setting() throws(SystemError) -> Setting {
        var files: [Setting.File] = []
        for name in names {
            // Bursts came with Linux 5.14.
            guard FileIO.exists("\(path)/\(name)") else { continue }
            files.append(.init(name: name, value: try FileIO.readLine("\(path)/\(name)")))
        }
        return Setting(path: path, files: files)
    }

    private var names: [String] {
        version == .v2 ? ["cpu.max", "cpu.max.burst"] : ["cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us"]
    }

    /// Lets the group use so many microseconds in each period, of all processors together. Some milliseconds.
    public func set(quota: Int, period: Int) throws(SystemError) {
        // A burst longer than the quota is refused: first away with it.
        try Self.clearBurst(path)
        if version == .v2 {
            try FileIO.writeValue("\(quota) \(period)", to: "\(path)/cpu.max")
        } else {
            try FileIO.writeValue("-1", to: "\(path)/cpu.cfs_quota_us")
            try FileIO.writeValue("\(period)", to: "\(path)/cpu.cfs_period_us")
            try FileIO.writeValue("\(quota)", to: "\(path)/cpu.cfs_quota_us")
        }
    }

    private static func clearBurst(_ path: String) throws(SystemError) {
        for name in ["cpu.max.burst", "cpu.cfs_burst_us"] where FileIO.exists("\(path)/\(name)") {
            try FileIO.writeValue("0", to: "\(path)/\(name)")
        }
    }

    /// Processor time that the group's tasks have used so far, in microseconds; nil where only others count it (v1).
    public static func used(by cgroup: Cgroup) -> Int64? {
        guard cgroup.version == .v2, let text = try? FileIO.read("\(cgroup.path)/cpu.stat") else { return nil }
        return parseUsage(text.span)
    }

    static func parseUsage(_ text: Span<UInt8>) -> Int64? {
        var s = ByteScanner(text)
        while !s.isAtEnd {
            if s.starts(with: "usage_usec ") {
                _ = s.word()
                s.skipBlanks()
                return s.decimal().map { Int64($0) }
            }
            s.skipLine()
        }
        return nil
    }
}

extension ProcessorQuota.Setting {
    /// Puts it back, exactly. Harmless when it holds already, and when the group is gone.
    public func restore() throws(SystemError) {
        guard FileIO.exists("\(path)/cgroup.procs") else { return }
        let quota = "\(path)/cpu.cfs_quota_us"
        // Between two limits there may be a step that is longer than the parent's: none at all always passes.
        if FileIO.exists(quota) { try FileIO.writeValue("-1", to: quota) }
        for file in files { try FileIO.writeValue(file.value, to: "\(path)/\(file.name)") }
    }
}
