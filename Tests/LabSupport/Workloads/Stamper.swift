import Host
import Synchronization

/// Threads that stamp a version into every page of every kind of memory and remember it (Tests/Support/stamper.c). Always busy.
public final class Stamper: Workload {
    public let id: String
    private let address: String
    private let megabytes: Int
    private let user: String
    private let strictly: Bool
    private let last = Mutex(0)

    /// - Parameters:
    ///   - user: UID:GID that it runs as.
    ///   - strictly: also what CRIU by itself forgets: that a System V segment was removed already.
    public init(
        _ id: String, megabytes: Int = 64, address: String = "10.77.1.15", user: String = "0:0", strictly: Bool = false
    ) {
        (self.id, self.megabytes, self.address, self.user) = (id, megabytes, address, user)
        self.strictly = strictly
    }

    public func start(on host: LabHost) throws {
        let program = try compile("stamper.c", for: host)
        try lab.script(
            "bundle",
            [
                host.name, id, "--ip", address, "--user", user, "--cwd", "/tmp", "--seccomp", "--program",
                "\(program) 8001 \(megabytes)",
            ])
        try host.shell("runc run -d --bundle /data/\(id) \(id) </dev/null >/dev/null 2>&1")
        try verify(on: host)
    }

    public func beginLoad() throws {}
    public func endLoad() throws {}

    public func verify(on host: LabHost) throws {
        let words = try ask(address, 8001, strictly ? "strictly" : "check").split(separator: " ", maxSplits: 2).map(String.init)
        guard words.count >= 2, words[0] == "ok", let stamps = Int(words[1]) else {
            throw LabError("\(id): \(words.joined(separator: " "))")
        }
        let before = last.withLock { last in
            defer { last = stamps }
            return last
        }
        try require(stamps > before, "it went back from \(before) stamps to \(stamps)")
    }
}
