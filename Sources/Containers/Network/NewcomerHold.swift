import CLinux
import Glibc
import Host

/// Keeps new connections and datagrams from a container that is about to be frozen, so that its sockets run empty: what nobody
/// has accepted or read is in no image of CRIU. What is held back was captured, and is given to it afterwards.
///
/// One table of nftables in the container's namespace; its own traffic inside (`lo`) is not concerned, and answers to what it
/// asked itself come in as long as they aren't datagrams.
struct NewcomerHold: Sendable {
    /// Of the namespace.
    let path: String

    static let table = "martlet_hold"
    private static let rules = """
        table inet \(table) {
            chain held {
                type filter hook prerouting priority -400; policy accept;
                iifname "lo" accept
                tcp flags & (fin | syn | rst | ack) == syn drop
                meta l4proto udp drop
            }
        }
        """

    /// Whether this host has nftables' program. The pre-flight says what is lost without it (`nft-missing`).
    static var isPossible: Bool { HostFacts.has(.nft) }

    func begin() throws(NetworkError) { try IPTool(namespace: path).run([Self.rules], "nft") }

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
