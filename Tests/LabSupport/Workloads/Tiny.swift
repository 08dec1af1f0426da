import Host
import Synchronization

/// The smallest container: a busybox shell that counts into a file and starts a process for each step.
public final class Tiny: Workload {
    public let id: String
    private let last = Mutex(0)

    public init(_ id: String) { self.id = id }

    public func start(on host: LabHost) throws {
        try lab.script(
            "bundle",
            [
                host.name, id, "--network", "none", "--", "busybox", "sh", "-c",
                "n=0; while true; do n=$((n + 1)); echo $n >/tmp/n.new; busybox mv /tmp/n.new /tmp/n; busybox sleep 0.05; done",
            ])
        try host.shell("runc run -d --bundle /data/\(id) \(id) </dev/null >/dev/null 2>&1")
        try verify(on: host)
    }

    public func beginLoad() throws {}
    public func endLoad() throws {}

    public func verify(on host: LabHost) throws {
        let goes: Bool? = try eventually(.seconds(30)) {
            guard let count = Int(try host.shell("cat \(root)/tmp/n 2>/dev/null || true")) else { return nil }
            return try last.withLock { last in
                try require(count >= last, "its count went back from \(last) to \(count)")
                defer { last = count }
                return count > last && last > 0 ? true : nil
            }
        }
        try require(goes != nil, "it doesn't count on")
    }
}
