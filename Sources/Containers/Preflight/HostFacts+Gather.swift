import Glibc
public import Host
import Model

extension HostFacts {
    /// Looks at this host. Nothing is changed.
    /// - Parameters:
    ///   - name: how findings call it.
    ///   - criu: what `CriuProbe` found.
    public static func gather(name: String, criu: DottedVersion? = nil) throws(SystemError) -> HostFacts {
        let release = try FileIO.readLine("/proc/sys/kernel/osrelease")
        let (flags, model) = processor(String(decoding: try FileIO.read("/proc/cpuinfo"), as: UTF8.self))
        let programs = Set(HostProgram.allCases.filter { find($0.rawValue) != nil })
        return HostFacts(
            name: name, architecture: architecture(), kernel: DottedVersion(in: release) ?? DottedVersion(0, 0),
            criu: criu, processorFlags: flags, processorModel: model,
            features: features(), programs: programs, securityModules: securityModules())
    }

    /// - Parameters:
    ///   - volatile: a folder on the tmpfs of running attempts.
    ///   - durable: a folder on the disk of journals and spilled memory. The nearest one that exists is looked at.
    public static func room(volatile: String, durable: String) throws(SystemError) -> HostRoom {
        let memory = try ProcFS.memoryInfo()["MemAvailable"] ?? 0
        func free(_ path: String) -> ByteCount { DestinationFacts.freeSpace(path)?.bytes ?? .zero }
        return HostRoom(memory: ByteCount(Int(clamping: memory)), volatile: free(volatile), durable: free(durable))
    }

    private static func architecture() -> String {
        var names = utsname()
        guard uname(&names) == 0 else { return "unknown" }
        return withUnsafeBytes(of: &names.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// Flags that all processors have, and the first one's name.
    static func processor(_ text: String) -> (flags: Set<String>, model: String) {
        var flags: Set<String>?, model = ""
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let key = parts[0].prefix { $0 != "\t" && $0 != " " }
            if key == "flags" {
                let these = Set(parts[1].split(separator: " ").map(String.init))
                flags = flags?.intersection(these) ?? these
            } else if line.hasPrefix("model name"), model.isEmpty {
                model = String(parts[1].drop { $0 == " " })
            }
        }
        return (flags ?? [], model)
    }

    /// Whether this host has a program.
    static func has(_ program: HostProgram) -> Bool { find(program.rawValue) != nil }

    private static func find(_ program: String) -> String? {
        let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        return folders.map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    private static func features() -> Set<HostFeature> {
        var found = Set<HostFeature>()
        if (try? Userfaultfd(features: [])) != nil { found.insert(.userfaultfd) }
        if (try? Userfaultfd(features: [.writeProtectFlag, .writeProtectUnpopulated, .writeProtectAsync])) != nil {
            found.insert(.asyncWriteProtect)
        }
        if hasPagemapScan() { found.insert(.pagemapScan) }
        if (try? MountInfo.ofSelf())?.contains(where: { $0.type == "cgroup2" }) ?? false { found.insert(.cgroup2) }
        return found
    }

    /// Scans one page of our own.
    private static func hasPagemapScan() -> Bool {
        var query = PageQuery()
        query.told = .present
        query.maximumPages = 1
        var runs: [PageRun] = []
        guard let map = try? PageMap(thread: getpid()) else { return false }
        let buffer = PageRegionBuffer(capacity: 1)
        return (try? map.scan(0x1000..<0x2000, query, buffer: buffer, into: &runs)) != nil
    }

    /// The list where securityfs is mounted; else what a label of our own gives away.
    private static func securityModules() -> Set<String> {
        if let text = try? FileIO.readLine("/sys/kernel/security/lsm") { return Set(text.split(separator: ",").map(String.init)) }
        var found = Set<String>()
        if FileIO.exists("/sys/module/apparmor/parameters/enabled"),
            (try? FileIO.readLine("/sys/module/apparmor/parameters/enabled")) == "Y"
        {
            found.insert("apparmor")
        }
        if FileIO.exists("/sys/fs/selinux/enforce") { found.insert("selinux") }
        return found
    }
}
