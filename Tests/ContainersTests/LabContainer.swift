import Glibc
import Host
import Testing

@testable import Containers

/// Whether this process runs inside a lab host (Tests/containers-in-lab), where CRIU and runc are.
let isInLab = getenv("MARTLET_IN_LAB") != nil

struct LabFailure: Error, CustomStringConvertible { var description: String }

/// Runs a shell line and gives its output.
@discardableResult
func shell(_ line: String, timeout: Duration = .seconds(60)) throws -> String {
    let run = try Spawn.run("sh", ["-c", line], timeout: timeout)
    guard run.status.isSuccess else { throw LabFailure(description: "\(line): \(run.status): \(run.errorText)\(run.outputText)") }
    var text = run.outputText
    while text.last == "\n" { text.removeLast() }
    return text
}

/// Waits for something, asking again and again.
func eventually(within limit: Duration = .seconds(10), _ what: String, _ holds: () throws -> Bool) throws {
    let deadline = MonotonicInstant.now + limit
    while try !holds() {
        guard deadline.remaining > .zero else { throw LabFailure(description: "\(what) did not happen within \(limit)") }
        sleepThread(.milliseconds(10))
    }
}

/// A container of a test, with what the test left of it removed at the end.
final class LabContainer {
    let id: String
    var bundle: String { "/data/\(id)" }
    var log: String { "/data/\(id).log" }
    let runtime = RuncRuntime()

    init(_ id: String) throws {
        self.id = id
        cleanUp()
    }
    deinit { cleanUp() }

    private func cleanUp() {
        try? runtime.delete(id, force: true)
        _ = try? shell(
            "rm -rf --one-file-system \(bundle) \(log); ip netns del \(id) 2>/dev/null; rmdir /sys/fs/cgroup/\(id) 2>/dev/null; true"
        )
    }

    /// Makes a bundle of the host's programs; its network is its own and empty.
    func makeBundle(_ program: String, network: String = "none") throws {
        try shell("bash /data/container-tests/make-bundle.sh \(id) --network \(network) --program '\(program)'")
    }

    /// Copies another container's bundle, as the file sync of a migration would.
    func copyBundle(of other: LabContainer) throws {
        try shell("cp -a \(other.bundle) \(bundle)")
        var copy = try OCIBundle(path: bundle)
        copy.config.cgroupsPath = "/\(id)"
        try copy.write()
    }

    func edit(_ body: (inout OCIConfig) -> Void) throws {
        var bundle = try OCIBundle(path: bundle)
        body(&bundle.config)
        try bundle.write()
    }

    func start(redirect: String = "</dev/null >/dev/null 2>&1") throws {
        try shell("runc run -d --bundle \(bundle) \(id) \(redirect)")
    }

    func details() throws -> RuntimeState { try runtime.details(of: id) }
    /// From within the container's network namespace: the kernel counts an accepted unix socket to the namespace of
    /// whoever connected, and CRIU can't dump one of another namespace that the server hasn't closed yet.
    func redis(_ words: String) throws -> String {
        let pid = try runtime.state(of: id).pid
        return try shell("nsenter -t \(pid) -n redis-cli -s \(bundle)/rootfs/tmp/redis.sock \(words)")
    }
    func fillRedis(_ count: Int) throws {
        try eventually("redis answers") { (try? redis("ping")) == "PONG" }
        _ = try redis("debug populate \(count) key 1000")
    }

    /// Sleeps again and again: CRIU ends a running nanosleep(2) with EINTR, on both sides.
    static let idleProgram = "busybox tail -f /dev/null"
    static let redisProgram =
        "redis-server --port 0 --unixsocket /tmp/redis.sock --save --appendonly no --enable-debug-command yes --dir /tmp"
}
