import Glibc

/// What moves in a cell of the table.
struct Workload: Sendable {
    enum Kind: String, Sendable { case redis, postgres, nginx, torture }

    var kind: Kind
    /// GB of data (redis), of shared buffers (PostgreSQL), of rewritten memory (torture); workers (nginx).
    var size: Double
    /// As it is written in a list: `redis:0.85`.
    var name: String

    init(_ name: String) throws {
        let parts = name.split(separator: ":").map(String.init)
        guard parts.count == 2, let kind = Kind(rawValue: parts[0]), let size = Double(parts[1]), size > 0 else {
            throw Failure("'\(name)' is no workload: redis:GB, postgres:GB, nginx:WORKERS, torture:GB")
        }
        (self.kind, self.size, self.name) = (kind, size, name)
    }

    /// Of memory, about.
    var bytes: Int { kind == .nginx ? 64 << 20 : Int(size * Double(1 << 30)) }

    var port: UInt16 {
        switch kind {
        case .redis: 6379
        case .postgres: 5432
        case .nginx: 80
        case .torture: 8002
        }
    }

    var dialect: Dialect {
        switch kind {
        case .redis: .redis
        case .postgres: .postgres
        case .nginx: .http
        case .torture: .line
        }
    }

    /// The load's word for `downtime probe`. The torture is its own load.
    func load(rate: Int) -> String {
        switch kind {
        case .redis: "redis:\(rate):\(min(50_000, max(256, bytes / 4 / Writer.valueSize)))"
        case .postgres: "pgbench"
        case .nginx: "http:4000"
        case .torture: "none"
        }
    }

    func start(_ trial: Trial) throws {
        let lab = trial.lab
        switch kind {
        case .redis: try lab.call("redis", "alpha", "--ip", trial.address, trial.id)
        case .postgres:
            let buffers = "\(bytes >> 20)M", scale = "\(max(1, Int(size * 55)))"
            try lab.call("postgres", "alpha", "--memory", buffers, "--scale", scale, "--ip", trial.address, trial.id)
        case .nginx: try lab.call("nginx", "alpha", "--workers", "\(Int(size))", "--ip", trial.address, trial.id)
        case .torture:
            try Torture.install(lab)
            try lab.call(
                "bundle", "alpha", trial.id, "--ip", trial.address, "--program", "/usr/local/bin/rewriter \(port) \(bytes >> 20)")
            try trial.source.run("runc run -d --bundle /data/\(trial.id) \(trial.id) \(ByHand.quiet)")
        }
    }

    func fill(_ trial: Trial) throws {
        switch kind {
        case .redis: try trial.lab.call("in", "client", "downtime", "fill", trial.address, "\(port)", "\(bytes)")
        // Everything into the buffers.
        case .postgres: _ = try sql(trial, "select count(*), sum(abalance) from pgbench_accounts")
        case .nginx, .torture: break
        }
    }

    /// What must be the same before and after a move, however the container was loaded meanwhile.
    func state(_ trial: Trial) throws -> String {
        switch kind {
        case .redis: try trial.lab.call("in", "client", "redis-cli", "-h", trial.address, "DEBUG", "DIGEST")
        // Every transaction changes an account, a teller and a branch by the same amount.
        case .postgres:
            try sql(trial, "select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches)")
        case .nginx: try trial.lab.call("in", "client", "sh", "-c", "python3 -c '\(Self.fetch)' http://\(trial.address)/blob")
        case .torture: "it checks itself"
        }
    }

    private static let fetch =
        "import sys,hashlib,urllib.request as u;print(hashlib.sha256(u.urlopen(sys.argv[1],timeout=20).read()).hexdigest())"

    private func sql(_ trial: Trial, _ words: String) throws -> String {
        try trial.lab.call("in", "client", "psql", "-h", trial.address, "-U", "postgres", "-Atc", words, "postgres")
    }
}

/// A program that rewrites its memory faster than any link.
enum Torture {
    private static let source = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")

    static func install(_ lab: Lab) throws {
        let program = "/tmp/rewriter-\(getpid())"
        let compiler = try Process(["cc", "-O2", "-pthread", "-static", "-o", program, "/\(source)/rewriter.c"])
        guard compiler.wait() == 0 else { throw Failure("rewriter.c does not compile") }
        defer { unlink(program) }
        try lab.install(program, at: "/usr/local/bin/rewriter", in: "alpha")
    }
}
