import FoundationEssentials
import Glibc
import Host
import Synchronization

/// A server with every kind of connection (Tests/Support/sockets.py) over IPv4 and IPv6, and clients that count what they notice.
public final class Sockets: Workload {
    public let id: String
    public static let four = "10.77.1.19", six = "fd4d:6c::1:14", port = 8000
    private static let clientSix = "fd4d:6c::c"
    private let kinds: [Kind]
    private let idle: Int
    private let state = Mutex<(clients: BackgroundProcess?, pid: Int32)>((nil, 0))
    private let told = Mutex<Report?>(nil)

    /// Clients of one kind; `slow` ones ask a server that lets new connections wait, `watched` ones one whose epoll watches them under
    /// numbers that belong to other sockets by now.
    public enum Kind: String, Sendable, CaseIterable { case closed, open, fresh, slow, flood, datagrams, half, watched }

    /// What the clients noticed.
    public struct Report: Decodable, Sendable {
        public struct Datagrams: Decodable, Sendable {
            public var sent: Int
            public var lost: Int
            public var doubled: Int
        }
        /// In words, whatever must not happen.
        public var errors: [String]
        /// The longest time without an answer, by kind of client and address.
        public var stalls_ms: [String: Double]
        public var datagrams: Datagrams
        /// Opened by those who open one for each request.
        public var connections: Int
        public var idle: Int
    }

    public init(_ id: String, kinds: [Kind] = Kind.allCases, idle: Int = 20) {
        (self.id, self.kinds, self.idle) = (id, kinds, idle)
    }

    public func start(on host: LabHost) throws {
        try lab.script("python", [host.name, id, lab.support("sockets.py"), "--ip", Self.four, "--", "\(Self.port)"])
        try host.shell("ip -n \(id) address add \(Self.six)/64 dev eth0 nodad")
        try lab.client.shell(
            "ip -6 address replace \(Self.clientSix)/64 dev \"$(ip -4 -o address show to 10.77.0.0/16 | awk '{print $2; exit}')\" nodad"
        )
        try verify(on: host)
    }

    public func beginLoad() throws {
        try lab.client.install(lab.support("socket_client.py"), at: "/run/lab/socket_client.py")
        let clients = try lab.client.start([
            "python3", "/run/lab/socket_client.py", "\(Self.four),\(Self.six)", "\(Self.port)", "--idle", "\(idle)", "--only",
            kinds.map(\.rawValue).joined(separator: ","),
        ])
        state.withLock { $0.clients = clients }
        guard let line = clients.line(where: { $0.contains("connected") }) else {
            throw LabError("\(id): its clients did not start: \(clients.errors)")
        }
        struct Connected: Decodable { var pid: Int32 }
        let pid = try JSONDecoder().decode(Connected.self, from: Data(line.utf8)).pid
        state.withLock { $0.pid = pid }
    }

    /// What was noticed until the last `endLoad`.
    public var report: Report? { told.withLock { $0 } }

    public func endLoad() throws {
        let (clients, pid) = state.withLock { $0 }
        guard let clients else { return }
        state.withLock { $0 = (nil, 0) }
        defer { clients.stop() }
        try lab.client.shell("kill -TERM \(pid)")
        guard let line = clients.line(within: .seconds(120), where: { $0.contains("done") }) else {
            throw LabError("\(id): its clients told nothing: \(clients.errors)")
        }
        let report = try JSONDecoder().decode(Report.self, from: Data(line.utf8))
        told.withLock { $0 = report }
        try require(report.errors.isEmpty, "its clients noticed: \(report.errors.joined(separator: "; "))")
        try require(report.datagrams.lost == 0, "\(report.datagrams.lost) of \(report.datagrams.sent) datagrams are lost")
        try require(
            report.datagrams.doubled == 0, "\(report.datagrams.doubled) of \(report.datagrams.sent) datagrams came twice")
    }

    public func verify(on host: LabHost) throws {
        let line = try ask(Self.four, Self.port, "verify")
        try require(line == "verify", "it answers '\(line)'")
        // Newcomers are let in again.
        let tables = try host.shell("ip netns exec \(id) nft list tables")
        try require(!tables.contains("martlet"), "they are still held back: \(tables)")
    }
}
