import Glibc

/// What the figures were measured on.
struct Machine: Codable, Sendable {
    var cores: Int
    var processor: String
    /// Bytes.
    var memory: Int
    var kernel: String
    var criu = ""
    var runc = ""
    var podman: String?
    var martlet: String?
    var link: String

    static let here = Machine(link: "")

    init(link: String) {
        cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        memory = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        processor =
            Self.lines("/proc/cpuinfo").first { $0.hasPrefix("model name") }?.split(separator: ":").last.map {
                String($0.dropFirst())
            } ?? "unknown"
        kernel = Self.lines("/proc/sys/kernel/osrelease").first ?? "unknown"
        self.link = link
    }

    private static func lines(_ path: String) -> [String] {
        String(decoding: (try? readFile(path)) ?? [], as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// Bytes that new programs could take.
    static var availableMemory: Int {
        let line = lines("/proc/meminfo").first { $0.hasPrefix("MemAvailable") } ?? ""
        return (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) << 10
    }

    /// Processes that wanted to run, mean of the last minute.
    static var load: Double { lines("/proc/loadavg").first?.split(separator: " ").first.flatMap { Double($0) } ?? 0 }
}
