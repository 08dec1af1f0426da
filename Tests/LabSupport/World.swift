import FoundationEssentials
import Host

/// What there is on a host that a migration might leave behind.
public struct HostView: Decodable, Sendable {
    public struct Process: Decodable, Sendable {
        public var pid: Int32
        public var cgroup: String
        public var comm: String
        public var arguments: String
    }

    public struct Group: Decodable, Sendable {
        public var path: String
        public var populated: Bool
        public var frozen: Bool
    }

    public var processes: [Process]
    public var mounts: [String]
    public var cgroups: [Group]
    public var files: [String]
    public var links: [String]
    public var tables: [String]
    /// Open journals, as `martlet status --json` tells them.
    public var journals: [String]

    /// Looks at a host now.
    public init(of host: LabHost) throws {
        let script = try FileIO.read(Lab.shared.support("world.py"))
        let run = try host.run(["python3", "-c", String(decoding: script, as: UTF8.self)])
        guard run.status.isSuccess else { throw LabError("look at \(host)", run) }
        self = try JSONDecoder().decode(HostView.self, from: Data(run.output))
    }

    /// Whether a container's tasks live here.
    public enum Life: String, Sendable { case gone, frozen, running }

    public func life(of container: String) -> Life {
        let own = cgroups.filter { $0.path == "/\(container)" || $0.path.hasPrefix("/\(container)/") }
        guard own.contains(where: \.populated) else { return .gone }
        return own.contains { $0.path == "/\(container)" && $0.frozen } ? .frozen : .running
    }

    /// Everything as comparable lines, but what belongs to a container in good order if it runs here.
    func lines(without container: String) -> [String] {
        let here = life(of: container) != .gone
        let group = "/\(container)"
        func belongs(_ path: String) -> Bool { here && (path == group || path.hasPrefix(group + "/")) }
        var all: [String] = []
        all += processes.filter { !(belongs($0.cgroup) && !Self.isTool($0.comm)) }.map {
            "process \($0.comm) in \($0.cgroup): \($0.arguments)"
        }
        // `ip netns` makes /run/netns a mount when it first needs it; a namespace has its mount there once a peer group.
        let namespace = "/run/netns/\(container)"
        all += mounts.filter { $0 != "/run/netns" && !(here && $0 == namespace) }.map { "mount \($0)" }
        all += cgroups.filter { !belongs($0.path) }.map { "cgroup \($0.path)" }
        all += files.filter { !Self.mayStay($0, container, here) }.map { "file \($0)" }
        all += links.filter { !(here && $0.hasPrefix("v-")) }.map { "link \($0)" }
        all += tables.map { "nftables \($0)" }
        all += journals.map { "journal \($0)" }
        return all
    }

    /// What a restore runs in the container's own cgroup and must take away again.
    private static func isTool(_ comm: String) -> Bool {
        ["criu", "runc", "martlet", "rsync", "nft", "tar"].contains { comm.hasPrefix($0) }
    }

    /// A bundle stays where its container was: its files belong to the user. The rest are caches of fixed size.
    private static func mayStay(_ file: String, _ container: String, _ here: Bool) -> Bool {
        if file == "/data/\(container)" { return true }
        if here && (file == "/run/runc/\(container)" || file == "/run/netns/\(container)") { return true }
        return [
            "/run/martlet", "/run/martlet/criu-probe.json", "/run/martlet/locks", "/run/martlet/sessions",
            "/run/martlet-agent.pid", "/run/criu.kdat",
            "/run/runc",
            "/run/netns", "/run/xtables.lock",
        ].contains(file)
    }
}

/// All hosts together, compared with how they were before a container came.
public struct World: Sendable {
    private let before: [LabHost: HostView]

    /// Looks at both hosts; do this before the container is started.
    public init() throws {
        var views: [LabHost: HostView] = [:]
        for host in Lab.shared.hosts { views[host] = try HostView(of: host) }
        before = views
    }

    /// Where the container runs, once exactly one copy runs and none is frozen elsewhere.
    /// - Parameter settling: called between two looks while that is not so.
    /// - Throws: what was seen last, when the time is over. Two running copies are an error at once.
    public func onlyHost(
        of container: String, within limit: Duration = .seconds(60), settling: () throws -> Void = {}
    ) throws -> LabHost {
        var seen = ""
        let found: LabHost? = try eventually(limit) {
            let lives = try Lab.shared.hosts.map { ($0, try HostView(of: $0).life(of: container)) }
            seen = lives.map { "\($0.1.rawValue) on \($0.0)" }.joined(separator: ", ")
            let running = lives.filter { $0.1 == .running }
            guard running.count < 2 else { throw LabError("two copies of \(container) run") }
            if let only = running.first, lives.allSatisfy({ $0.1 != .frozen }) { return only.0 }
            try settling()
            return nil
        }
        guard let found else { throw LabError("not exactly one copy of \(container) runs after \(limit): \(seen)") }
        return found
    }

    /// What is on the hosts now and was not before, apart from the container where it runs. Ends of processes take their time: asked
    /// until nothing is left or the time is over.
    /// - Parameter allowed: what may stay all the same.
    public func leftovers(
        of container: String, within limit: Duration = .seconds(30), except allowed: (String) -> Bool = { _ in false }
    ) throws -> [String] {
        var left: [String] = []
        let clean: Bool? = try eventually(limit, every: .milliseconds(300)) {
            left = try Lab.shared.hosts.flatMap { try leftovers(of: container, on: $0) }.filter { !allowed($0) }
            return left.isEmpty ? true : nil
        }
        return clean == nil ? left : []
    }

    private func leftovers(of container: String, on host: LabHost) throws -> [String] {
        var known: [String: Int] = [:]
        for line in before[host]?.lines(without: container) ?? [] { known[line, default: 0] += 1 }
        var left: [String] = []
        for line in try HostView(of: host).lines(without: container) {
            if let count = known[line], count > 0 { known[line] = count - 1 } else { left.append("\(host): \(line)") }
        }
        return left
    }
}
