import Containers
import Glibc
import Host
import Model
import Plan

/// What this host is and can do, as each side tells the other.
enum HostSurvey {
    static func hostName() -> String {
        (try? FileIO.readLine("/proc/sys/kernel/hostname")) ?? "this host"
    }

    static func capabilities() -> Capabilities {
        let memory =
            ((try? FileIO.readLine("/proc/meminfo")) ?? "").split(separator: "\n")
            .first { $0.hasPrefix("MemAvailable:") }?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        let probe = HostProbe.current()
        var missing = probe.missing()
        Pretence.current.apply(&missing)
        return Capabilities(
            host: hostName(), kernel: (try? FileIO.readLine("/proc/sys/kernel/osrelease")) ?? "unknown",
            architecture: architecture(),
            cpuFeatures: cpuFeatures(), criu: probe.criu.map { "\($0.version)" }, runtime: nil, missing: missing,
            codecs: ["none", "lz4", "zstd"],
            freeMemory: .kibibytes(memory))
    }

    /// What the pre-flight judges.
    static func host() throws -> HostFacts {
        let criu = HostProbe.current().criu
        let version = criu.map { DottedVersion($0.version.major, $0.version.minor, $0.version.sublevel) }
        var facts = try HostFacts.gather(name: hostName(), criu: version)
        facts.criuComplaint = criu?.complaint
        facts.room = try HostFacts.room(volatile: Places.runtime, durable: Places.state)
        Pretence.current.apply(&facts)
        return facts
    }

    static func architecture() -> String {
        var name = utsname()
        uname(&name)
        return withUnsafeBytes(of: &name.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    static func cpuFeatures() -> [String] {
        let lines = ((try? FileIO.readLine("/proc/cpuinfo")) ?? "").split(separator: "\n")
        guard let flags = lines.first(where: { $0.hasPrefix("flags") }), let colon = flags.firstIndex(of: ":") else { return [] }
        return flags[flags.index(after: colon)...].split(separator: " ").map(String.init).sorted()
    }

    /// Anonymous memory of a process, swapped out or not, in bytes; file pages don't travel.
    static func privateMemory(of pid: Int32) -> Int {
        let lines = ((try? FileIO.readLine("/proc/\(pid)/status")) ?? "").split(separator: "\n")
        return lines.reduce(0) { sum, line in
            guard line.hasPrefix("RssAnon:") || line.hasPrefix("VmSwap:") else { return sum }
            return sum + (line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) } ?? 0)
                << 10
        }
    }

    /// Shared memory of some processes, in bytes, each object once: a hundred backends of a PostgreSQL share one.
    static func sharedMemory(of pids: [Int32]) -> Int {
        struct Object: Hashable { var device: UInt32, inode: UInt64 }
        var seen = Set<Object>(), bytes = 0
        for pid in pids {
            for area in (try? MemoryMap.of(pid: pid))?.areas ?? [] where area.kind == .sharedMemory {
                guard seen.insert(Object(device: area.device, inode: area.inode)).inserted else { continue }
                let range = "\(String(area.start, radix: 16))-\(String(area.end, radix: 16))"
                var status = stat()
                if stat("/proc/\(pid)/map_files/\(range)", &status) == 0 { bytes += Int(status.st_blocks) * 512 }
            }
        }
        return bytes
    }

    /// Where runc will put a container's cgroup (libcontainer/cgroups/fs2/defaultpath.go): an absolute path below the mount,
    /// else beside our own group.
    static func cgroup(of config: OCIConfig, container: String) -> String {
        let mount = ((try? Cgroup.unifiedMountPoint()) ?? nil) ?? "/sys/fs/cgroup"
        let wanted = config.cgroupsPath ?? ""
        if wanted.hasPrefix("/") { return mount + wanted }
        let own = (try? ProcFS.cgroups(of: getpid()))?.first(where: \.isUnified)?.path ?? "/"
        let parent = own.split(separator: "/").dropLast().joined(separator: "/")
        return mount + (parent.isEmpty ? "" : "/\(parent)") + "/" + (wanted.isEmpty ? container : wanted)
    }
}
