import Host
import Synchronization

/// A redis whose values are rewritten on its own host, so that no shaped link slows the writer down: it dirties pages faster than a
/// slow link carries them.
public final class ChurnedRedis: Workload {
    public let id: String
    private let address: String
    private let megabytes: Int
    private let rate: Int
    private let state = Mutex<(host: LabHost?, writer: BackgroundProcess?)>((nil, nil))

    private static let program = "/run/lab/redis_churn.py"

    /// - Parameter rate: values rewritten a second, each in a page of its own.
    public init(_ id: String, megabytes: Int = 32, rate: Int = 15_000, address: String = "10.77.1.16") {
        (self.id, self.megabytes, self.rate, self.address) = (id, megabytes, rate, address)
    }

    public func start(on host: LabHost) throws {
        try lab.script("redis", [host.name, "--memory", "\(megabytes)M", "--ip", address, id])
        for one in lab.hosts { try one.install(lab.support("redis_churn.py"), at: Self.program) }
        state.withLock { $0.host = host }
    }

    /// The writer's connection ends with the move, and so does the writer.
    public func beginLoad() throws {
        guard let host = state.withLock({ $0.host }) else { return }
        let writer = try host.start(["python3", Self.program, "write", address, "\(megabytes)", "\(rate)"])
        state.withLock { $0.writer = writer }
        try require(writer.line { $0.contains("writing") } != nil, "its writer did not start: \(writer.errors)")
    }

    public func endLoad() throws {
        let writer = state.withLock { state in
            defer { state.writer = nil }
            return state.writer
        }
        writer?.stop()
    }

    public func verify(on host: LabHost) throws {
        let run = try host.run(
            ["timeout", "90", "python3", Self.program, "check", address, "\(megabytes)"], timeout: .seconds(100))
        try require(run.status.isSuccess, "\(run.outputText) \(run.errorText)")
    }
}
