import Host
import Synchronization

/// Forked processes that have most of their memory in common, write to some of it, and check every byte (Tests/Support/family.c).
public final class Family: Workload {
    public let id: String
    private let address: String
    private let megabytes: Int
    private let children: Int
    private let last = Mutex((checks: 0, proportional: 0, resident: 0))

    public init(_ id: String, megabytes: Int = 48, children: Int = 4, address: String = "10.77.1.31") {
        (self.id, self.megabytes, self.children, self.address) = (id, megabytes, children, address)
    }

    public func start(on host: LabHost) throws {
        let program = try compile("family.c", for: host)
        try lab.script(
            "bundle",
            [host.name, id, "--ip", address, "--cwd", "/tmp", "--program", "\(program) 8002 \(megabytes) \(children)"])
        try host.shell("runc run -d --bundle /data/\(id) \(id) </dev/null >/dev/null 2>&1")
        try verify(on: host)
    }

    public func beginLoad() throws {}
    public func endLoad() throws {}

    public func verify(on host: LabHost) throws {
        let answer = try ask(address, 8002, "check")
        let words = answer.split(separator: " ")
        guard words.count == 4, words[0] == "ok", let checks = Int(words[1]), let proportional = Int(words[2]),
            let resident = Int(words[3])
        else { throw LabError("\(id): \(answer)") }
        let before = last.withLock { last in
            defer { last = (checks, proportional, resident) }
            return last.checks
        }
        try require(checks > before, "it went back from \(before) checks to \(checks)")
    }

    /// What all processes together had at the last `verify`, in KB: what is theirs of what they have in common (Pss), and as if
    /// nothing were.
    public var memory: (proportional: Int, resident: Int) { last.withLock { ($0.proportional, $0.resident) } }
}
