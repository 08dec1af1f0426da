import Glibc
public import Host
import Synchronization

/// No test ends the clients' host: looked at once.
private let isClientUp = Mutex(false)

/// The lab of `lab/`, used through its scripts only, as a person would.
///
/// Which lab it is says MARTLET_LAB, `test` by default, so that tests don't meet a lab that somebody works in.
public struct Lab: Sendable {
    public static let shared = Lab()

    /// Tests in the lab take minutes and need root: `scripts/test` asks for them.
    public static let isWanted = getenv("MARTLET_LAB_TESTS") != nil
    /// The walks that take longer than `make test` may.
    public static let isSlowWanted = getenv("MARTLET_LAB_SLOW") != nil

    /// Failure points that somebody wants to see walked, in this order.
    public static let wantedPoints = getenv("MARTLET_LAB_POINTS").map {
        String(cString: $0).split(separator: " ").map(String.init)
    }

    public let name: String
    /// The source tree.
    public let repository: String
    public let alpha: LabHost
    public let beta: LabHost
    /// A host without an engine, for clients.
    public let client: LabHost

    /// The hosts that containers live on.
    public var hosts: [LabHost] { [alpha, beta] }

    private init() {
        name = getenv("MARTLET_LAB").map { String(cString: $0) } ?? "test"
        // Tests/LabSupport/Lab.swift → the repository.
        repository = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        alpha = LabHost(name: "alpha", address: "10.77.0.1", scripts: repository + "/lab", lab: name)
        beta = LabHost(name: "beta", address: "10.77.0.2", scripts: repository + "/lab", lab: name)
        client = LabHost(name: "client", address: "10.77.0.3", scripts: repository + "/lab", lab: name)
    }

    public func other(_ host: LabHost) -> LabHost { host == alpha ? beta : alpha }

    /// Makes what isn't there, starts agents that ended, mends links. Takes a second when all is well.
    public func up() throws {
        try script("up", ["alpha", "beta"])
        if !isClientUp.withLock({ $0 }) { try script("client", ["client"]) }
        isClientUp.withLock { $0 = true }
        for host in hosts { try script("link", [host.name, "--clear"]) }
    }

    /// Runs one of the lab's scripts to its end and returns what it printed.
    @discardableResult
    public func script(_ script: String, _ arguments: [String], timeout: Duration = .seconds(120)) throws -> String {
        let run = try Spawn.run(
            "\(repository)/lab/\(script)", arguments, environment: LabHost.environment(lab: name), timeout: timeout)
        guard run.status.isSuccess, !run.timedOut else {
            throw LabError("lab/\(script) \(arguments.joined(separator: " "))", run)
        }
        return run.outputText
    }

    /// A file of `Tests/Support`.
    public func support(_ file: String) -> String { "\(repository)/Tests/Support/\(file)" }

    /// Gives a host a new certificate of the lab's authority, valid for so many days from now; a negative number makes an expired
    /// one (0 would be valid until the end of this second).
    public func issueCertificate(for host: LabHost, days: Int) throws {
        let authority = "/var/lib/martlet-lab\(name.isEmpty ? "" : "-\(name)")/authority"
        let program = getenv("MARTLET_BIN").map { String(cString: $0) } ?? "\(repository)/.build/release/martlet"
        let folder = "/tmp/martlet-lab-\(name)-issued"
        let run = try Spawn.run(
            program,
            [
                "certs", "issue", host.name, "--directory", authority, "--address", host.address, "--days=\(days)", "--out",
                folder,
            ])
        guard run.status.isSuccess else { throw LabError("martlet certs issue", run) }
        for file in ["authority.pem", "host.pem", "host.key"] {
            try host.install("\(folder)/\(file)", at: "/etc/martlet/\(file)")
        }
        for file in ["authority.pem", "host.pem", "host.key"] { unlink("\(folder)/\(file)") }
        rmdir(folder)
    }

    /// Removes a container from all hosts, in whatever state.
    public func remove(_ container: String) throws {
        for host in hosts { try script("rm", [host.name, container]) }
    }
}

/// Something in the lab that should have worked.
public struct LabError: Error, CustomStringConvertible, Sendable {
    public var description: String

    public init(_ what: String) { description = what }

    /// A command that failed, with what it printed.
    public init(_ command: String, _ run: CapturedRun) {
        description = "\(command): \(run.timedOut ? "no end in time" : "\(run.status)")\n\(run.outputText)\(run.errorText)"
    }
}

/// Asks until the answer is there: tests wait for events, never for a time to pass.
/// - Returns: the answer, or nil when `limit` is over.
public func eventually<Answer>(_ limit: Duration, every: Duration = .milliseconds(100), _ question: () throws -> Answer?) rethrows
    -> Answer?
{
    let deadline = MonotonicInstant.now + limit
    while true {
        if let answer = try question() { return answer }
        if MonotonicInstant.now >= deadline { return nil }
        sleepThread(every)
    }
}
