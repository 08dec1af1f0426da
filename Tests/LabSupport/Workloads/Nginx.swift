import Host
import Synchronization

/// An nginx whose workers are no root; its load is wrk with connections that stay open.
public final class Nginx: Workload {
    public let id: String
    private let address: String
    private let state = Mutex<(sum: String, wrk: BackgroundProcess?)>(("", nil))

    public init(_ id: String, address: String = "10.77.1.12") { (self.id, self.address) = (id, address) }

    public func start(on host: LabHost) throws {
        try lab.script("nginx", [host.name, "--ip", address, id])
        let sum = try self.sum()
        state.withLock { $0.sum = sum }
    }

    public func beginLoad() throws {
        let wrk = try lab.client.start([
            "sh", "-c",
            "echo $$ >/run/lab/wrk-\(id).pid; exec stdbuf -oL wrk -t1 -c20 -d3600 --timeout 5 http://\(address)/index.html",
        ])
        state.withLock { $0.wrk = wrk }
        try require(wrk.line { $0.contains("connections") } != nil, "wrk did not start: \(wrk.errors)")
    }

    public func endLoad() throws {
        guard
            let wrk = state.withLock({ state in
                defer { state.wrk = nil }
                return state.wrk
            })
        else { return }
        defer { wrk.stop() }
        // It must go on by itself: what it gets after the move counts.
        sleepThread(.seconds(1))
        try lab.client.shell("kill -INT \"$(cat /run/lab/wrk-\(id).pid)\"; rm -f /run/lab/wrk-\(id).pid")
        try require(wrk.line(within: .seconds(30)) { $0.hasPrefix("Transfer/sec") } != nil, "wrk told nothing: \(wrk.errors)")
        try require(!wrk.lines.contains { $0.contains("Non-2xx") }, "it gave wrong answers: \(wrk.lines)")
    }

    public func verify(on host: LabHost) throws {
        let before = state.withLock { $0.sum }
        try require(try sum() == before, "its files differ")
        let users = try host.shell(
            "for p in $(cat $(find /sys/fs/cgroup/\(id) -name cgroup.procs)); do stat -c %U /proc/$p; done | sort | uniq -c | tr -s ' '"
        )
        try require(users.contains("2 www-data"), "its workers are not two of www-data: \(users)")
    }

    private func sum() throws -> String {
        let script =
            "import hashlib, urllib.request as u; print(hashlib.sha256(u.urlopen('http://\(address)/blob', timeout=5).read()).hexdigest())"
        let answer: String? = try eventually(.seconds(30)) {
            let run = try lab.client.run(["python3", "-c", script])
            return run.status.isSuccess ? run.outputText : nil
        }
        guard let answer else { throw LabError("\(id): nginx at \(address) does not answer") }
        return answer
    }
}
