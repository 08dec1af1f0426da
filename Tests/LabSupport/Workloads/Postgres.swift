import Host
import Synchronization

/// A PostgreSQL under pgbench, whose books must balance afterwards and whose indexes must be whole.
public final class Postgres: Workload {
    public let id: String
    private let address: String
    private let state = Mutex<(before: Int, bench: BackgroundProcess?)>((0, nil))

    public init(_ id: String, address: String = "10.77.1.13") { (self.id, self.address) = (id, address) }

    public func start(on host: LabHost) throws {
        try lab.script("postgres", [host.name, "--ip", address, id])
        // amcheck's library comes from outside: the container has only what the server needs to run.
        try host.shell(
            """
            from=$(echo /usr/lib/postgresql/*/lib/amcheck.so); cp "$from" \(root)"$from"
            cp /usr/share/postgresql/*/extension/amcheck* \(root)"$(echo /usr/share/postgresql/*/extension)"/
            """)
        try query("CREATE EXTENSION IF NOT EXISTS amcheck")
    }

    /// Short runs one after the other: a run whose connection broke ends, the next one connects anew.
    public func beginLoad() throws {
        let before = try count()
        let bench = try lab.client.start([
            "bash", "-c",
            """
            touch /run/lab/pgbench-\(id); echo begun
            while [ -e /run/lab/pgbench-\(id) ]; do
                timeout 20 pgbench -n -c 4 -T 1 -h \(address) -U postgres postgres 2>&1 | sed -n 's/^number of transactions actually processed: //p'
            done; echo over
            """,
        ])
        state.withLock { $0 = (before, bench) }
        try require(bench.line { $0 == "begun" } != nil, "pgbench did not start")
    }

    public func endLoad() throws {
        let (before, bench) = state.withLock { state in
            defer { state.bench = nil }
            return state
        }
        guard let bench else { return }
        defer { bench.stop() }
        // One whole run on the new host.
        let runs = bench.lines.count
        let next: Bool? = eventually(.seconds(60)) { bench.lines.count >= runs + 2 ? true : nil }
        try require(next != nil, "pgbench does not go on")
        try lab.client.shell("rm -f /run/lab/pgbench-\(id)")
        try require(bench.line(within: .seconds(60)) { $0 == "over" } != nil, "pgbench does not end")
        let acknowledged = bench.lines.compactMap { Int($0.prefix { $0.isNumber }) }.reduce(0, +)
        let written = try count() - before
        try require(acknowledged > 0, "pgbench could do nothing: \(bench.lines)")
        try require(written >= acknowledged, "\(acknowledged) transactions were acknowledged and \(written) are there")
    }

    public func verify(on host: LabHost) throws {
        let sums = try query(
            """
            SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history)
               AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history)
               AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history)
            """)
        try require(sums == "t", "its books don't balance")
        try query(
            "SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p'"
        )
        try query("SELECT verify_heapam(c.oid) FROM pg_class c WHERE c.relname LIKE 'pgbench%' AND c.relkind = 'r'")
    }

    private func count() throws -> Int { Int(try query("SELECT count(*) FROM pgbench_history")) ?? 0 }

    @discardableResult
    private func query(_ sql: String) throws -> String {
        var last = ""
        let answer: String? = try eventually(.seconds(30)) {
            let run = try lab.client.run(["psql", "-X", "-A", "-t", "-h", address, "-U", "postgres", "-c", sql, "postgres"])
            last = run.errorText
            return run.status.isSuccess ? run.outputText : nil
        }
        guard var answer else { throw LabError("\(id): \(sql): \(last)") }
        while answer.last == "\n" { answer.removeLast() }
        return answer
    }
}
