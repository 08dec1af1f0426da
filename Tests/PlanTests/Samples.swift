import Model
import Plan
import Testing

extension Tag {
    /// Takes more than a second.
    @Tag static var slow: Self
}

/// Plain values that tests build on.
enum Sample {
    static let id = MigrationID(rawValue: "00112233445566778899aabbccddeeff")!
    static let problem = Problem(what: "try", why: "it was made to fail")
    static let recovery = RecoveryFacts(
        engine: "runc", bundle: "/data/redis", cgroup: "/sys/fs/cgroup/redis", session: "/run/martlet/1", pid: 4711,
        startTime: 1234, boot: "boot", keepSource: false)
    static let shipped = Shipped(images: 1, imageBytes: ByteCount(1), spaces: [], streamMarks: [], pagesStayBehind: false)
    static let running = Running(thawedAt: 1, pid: 7)
    static let findings = Findings(destination: host, findings: [])
    static let host = Capabilities(
        host: "beta", kernel: "6.18", architecture: "x86_64", cpuFeatures: [], criu: "4.2.1", runtime: "runc 1.1.15",
        codecs: [], freeMemory: .gibibytes(1))
    static let ways = Ways(dump: .hidden, restore: .faultServer, tracker: .writeProtect)
    static let blocker = Finding(
        .blocker, code: "criu-missing", role: .destination, what: "find criu", why: "not installed", hint: "apt install criu")

    static func order(_ method: Plan.Method = .preCopy, _ change: (inout MigrationOptions) -> Void = { _ in }) -> SourceOrder {
        var options = MigrationOptions()
        options.method = method
        change(&options)
        return SourceOrder(
            migration: id, peer: "beta", options: options,
            container: ContainerDescription(
                id: "redis", engine: "runc", bundle: "/data/redis", rootfs: "/data/redis/rootfs", config: "{}",
                processes: [], memory: .mebibytes(10), network: .movable, addresses: [], sockets: 0),
            capabilities: host, findings: [], recovery: recovery)
    }

    static func report(dirty: Int = 0) -> RoundReport {
        RoundReport(pages: 2560, bytesSent: 10 << 20, durationMS: 10, dirtyPages: dirty)
    }

    static func record(_ kind: JournalRecord.Kind, _ role: Role, pagesStayBehind: Bool = false) -> JournalRecord {
        JournalRecord(
            kind, migration: id, role: role, container: "redis", peer: "peer",
            recovery: kind == .opened ? recovery : nil, pagesStayBehind: kind == .decided ? pagesStayBehind : nil)
    }
}
