import Host
import Synchronization

/// A Python program that forks and uses pipes, timers and shared memory (Tests/Support/forker.py). It is always busy.
public final class Python: Workload {
    public let id: String
    private let address: String
    private let last = Mutex<(rounds: Int, ticks: Int)>((0, 0))

    public init(_ id: String, address: String = "10.77.1.14") { (self.id, self.address) = (id, address) }

    public func start(on host: LabHost) throws {
        try lab.script("python", [host.name, id, lab.support("forker.py"), "--ip", address, "--", "8000"])
        try verify(on: host)
    }

    public func beginLoad() throws {}
    public func endLoad() throws {}

    public func verify(on host: LabHost) throws {
        // It must not have gone back, and must go on: rounds through the pipes, and the timer's ticks.
        var answer = ""
        let goes: Bool? = try eventually(.seconds(30)) {
            answer = try ask(address, 8000, "state")
            let words = answer.split(separator: " ")
            guard words.count == 4, words[0] == "ok", let rounds = Int(words[1]), let ticks = Int(words[2]) else {
                throw LabError("\(id): \(answer)")
            }
            return try last.withLock { last in
                try require(rounds >= last.rounds && ticks >= last.ticks, "it went back from \(last) to \(answer)")
                guard rounds > last.rounds, ticks > last.ticks else { return nil }
                last = (rounds, ticks)
                return true
            }
        }
        try require(goes != nil, "it stands still at \(answer)")
    }
}
