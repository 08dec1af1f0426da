import FoundationEssentials
import Glibc
import Host
import Synchronization

/// A redis with data of a known digest; its load writes numbered values and reads them back.
public final class Redis: Workload {
    public let id: String
    private let memory: String
    /// Nil: in the host's network, where its address changes with the host.
    private let address: String?
    /// Seconds between two writes of the load.
    private let pause: Double
    private let state = Mutex(State())

    private struct State {
        var digest = ""
        var host: LabHost?
        var watch: BackgroundProcess?
    }

    /// What lab/clients/redis_watch.py reports.
    private struct Watched: Decodable {
        var writes: Int
        var lost: Int
        var wrong_reads: Int
        var longest_gap_ms: Double
    }

    /// What its values are made of.
    public enum Content: String, Sendable {
        /// Noise, which nothing packs.
        case noise
        /// Words, as in caches of documents.
        case text
    }

    private let content: Content
    private let limit: String?

    /// - Parameter limit: `linux.resources.memory.limit` of the container.
    public init(
        _ id: String, memory: String = "64M", address: String? = "10.77.1.11", pause: Double = 0.0005, content: Content = .noise,
        limit: String? = nil
    ) {
        (self.id, self.memory, self.address, self.pause) = (id, memory, address, pause)
        (self.content, self.limit) = (content, limit)
    }

    public func start(on host: LabHost) throws {
        try lab.script(
            "redis",
            [host.name, "--memory", memory, "--content", content.rawValue] + (address.map { ["--ip", $0] } ?? [])
                + (limit.map { ["--limit", $0] } ?? []) + [id], timeout: .seconds(300))
        let digest = try self.digest(at: address ?? host.address)
        state.withLock { ($0.digest, $0.host) = (digest, host) }
    }

    private var watchFile: String { "/run/lab/watch-\(id).pid" }

    public func beginLoad() throws {
        try lab.client.install("\(lab.repository)/lab/clients/redis_watch.py", at: "/run/lab/redis_watch.py")
        let at = address ?? state.withLock { $0.host?.address } ?? ""
        let watch = try lab.client.start([
            "sh", "-c", "echo $$ >\(watchFile); exec python3 /run/lab/redis_watch.py \(at) --pause \(pause)",
        ])
        state.withLock { $0.watch = watch }
        try require(watch.line { $0.contains("watching") } != nil, "its client did not start: \(watch.errors)")
    }

    public func endLoad() throws {
        guard
            let watch = state.withLock({ state in
                defer { state.watch = nil }
                return state.watch
            })
        else { return }
        try lab.client.shell("kill -TERM \"$(cat \(watchFile))\"; rm -f \(watchFile)")
        defer { watch.stop() }
        guard let line = watch.line(within: .seconds(120), where: { $0.contains("watched") }) else {
            throw LabError("\(id): its client told nothing: \(watch.errors)")
        }
        let watched = try JSONDecoder().decode(Watched.self, from: Data(line.utf8))
        try require(watched.writes > 0, "its client could not write")
        try require(watched.lost == 0, "\(watched.lost) of \(watched.writes) acknowledged writes are missing")
        try require(watched.wrong_reads == 0, "\(watched.wrong_reads) values read back wrong")
    }

    /// While a load runs its keys are in the digest too: then only that redis answers.
    public func verify(on host: LabHost) throws {
        guard state.withLock({ $0.watch == nil }) else {
            let answer = try lab.client.run(["timeout", "20", "redis-cli", "-h", address ?? host.address, "PING"])
            return try require(answer.outputText.hasPrefix("PONG"), "redis does not answer: \(answer.outputText)")
        }
        let now = try digest(at: address ?? host.address)
        let before = state.withLock { state in
            state.host = host
            return state.digest
        }
        guard now != before else { return }
        // Keys of the load that stayed are the client's doing, anything else is the move's.
        let words = try lab.client.run([
            "sh", "-c", "redis-cli -h \(address ?? host.address) DBSIZE; redis-cli -h \(address ?? host.address) KEYS 'watch*'",
        ])
        throw LabError("\(id): its digest was \(before) and is \(now); keys: \(words.outputText.prefix(300))")
    }

    /// Of everything but the keys of a load that runs; redis computes it in one go.
    private func digest(at address: String) throws -> String {
        let answer: String? = try eventually(.seconds(30)) {
            let run = try lab.client.run(["timeout", "25", "redis-cli", "-h", address, "DEBUG", "DIGEST"])
            let text = run.outputText.filter { !$0.isWhitespace }
            return run.status.isSuccess && text.utf8.count == 40 ? text : nil
        }
        guard let answer else { throw LabError("\(id): redis at \(address) does not answer") }
        return answer
    }
}
