import CLinux
import Glibc
import Host

/// Keeps new connections and datagrams from a container that is about to be frozen, so that its sockets run empty: what nobody
/// has accepted or read is in no image of CRIU. What is held back was captured, and is given to it afterwards.
///
/// One table of nftables in the container's namespace; its own traffic inside (`lo`) is not concerned, and answers to what it
/// asked itself come in as long as they aren't datagrams. Datagrams are counted while they are dropped: just those that
/// `CapturedFrame.newcomer` knows.
struct NewcomerHold: Sendable {
    /// Of the namespace.
    private let path: String
    /// Numbers and names of the interfaces whose datagrams are counted.
    private let interfaces: [(number: Int, name: String)]
    private let socket: SharedDescriptor?

    static let table = "martlet_hold"

    init(path: String, interfaces: [(number: Int, name: String)]) {
        (self.path, self.interfaces) = (path, interfaces)
        // Made once, because entering the namespace takes longer than asking.
        socket = try? NetworkNamespace(path: path).run { () throws(SystemError) in
            let kind = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            let raw = try kernelResult("socket", "NETLINK_NETFILTER", linux_socket(AF_NETLINK, kind, 12))
            return SharedDescriptor(OwnedDescriptor(taking: Int32(raw)))
        }
    }

    private static func counter(_ interface: Int) -> String { "datagrams_\(interface)" }

    private var rules: String {
        let counters = interfaces.map { "counter \(Self.counter($0.number)) {}" }.joined(separator: "\n")
        let counted = interfaces.map { number, name in
            ["ip protocol udp", "ip6 nexthdr udp"].map {
                "iifname \"\(name)\" meta pkttype host \($0) counter name \(Self.counter(number)) drop"
            }.joined(separator: "\n")
        }.joined(separator: "\n")
        return """
            table inet \(Self.table) {
                \(counters)
                chain held {
                    type filter hook prerouting priority -400; policy accept;
                    iifname "lo" accept
                    tcp flags & (fin | syn | rst | ack) == syn drop
                    \(counted)
                    meta l4proto udp drop
                }
            }
            """
    }

    /// Whether this host has nftables' program. The pre-flight says what is lost without it (`nft-missing`).
    static var isPossible: Bool { HostFacts.has(.nft) }

    func begin() throws(NetworkError) { try IPTool(namespace: path).run([rules], "nft") }

    /// How many datagrams were dropped since it began, by interface; nil if the kernel doesn't say. 20 µs.
    func dropped() -> [Int: Int]? {
        guard let socket else { return nil }
        var all: [Int: Int] = [:]
        for interface in interfaces {
            let count = linux_counted_packets(socket.raw, Self.table, Self.counter(interface.number))
            guard count >= 0 else { return nil }
            all[interface.number] = count
        }
        return all
    }

    /// Lets newcomers in; what was dropped can still be asked for until `end`.
    func lift() { _ = try? IPTool(namespace: path).run(["flush chain inet \(Self.table) held"], "nft") }

    /// Repeating is harmless; so is a namespace in which it was never begun.
    func end() {
        // "add" makes it exist, so that deleting can't fail.
        _ = try? IPTool(namespace: path).run(["add table inet \(Self.table); delete table inet \(Self.table)"], "nft")
    }
}

/// What arrived at a container's sockets and nobody fetched yet.
public struct WaitingInput: Sendable, Hashable {
    /// Connections that weren't accepted.
    public var connections = 0
    /// Bytes of datagrams that weren't read.
    public var datagramBytes = 0
    /// Handshakes that aren't over.
    public var handshakes = 0

    public var isEmpty: Bool { self == WaitingInput() }
}

/// Asks for `WaitingInput`; sock_diag(7).
final class SocketQueues: Sendable {
    private let socket: SharedDescriptor

    /// - Parameter namespace: made once, because entering it takes longer than asking.
    init(namespace path: String) throws(SystemError) {
        socket = try NetworkNamespace(path: path).run { () throws(SystemError) in
            let kind = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            let raw = try kernelResult("socket", "NETLINK_SOCK_DIAG", linux_socket(AF_NETLINK, kind, 4))
            return SharedDescriptor(OwnedDescriptor(taking: Int32(raw)))
        }
    }

    /// - Parameter handshakes: costs 3 ms; without it they aren't counted (0.1 ms).
    func waiting(handshakes: Bool) throws(SystemError) -> WaitingInput {
        var counted = linux_waiting()
        try kernelResult("sock_diag", "waiting input", linux_count_waiting(socket.raw, handshakes ? 1 : 0, &counted))
        return WaitingInput(
            connections: Int(counted.connections), datagramBytes: Int(counted.datagrams), handshakes: Int(counted.handshakes))
    }
}
