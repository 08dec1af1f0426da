import CLinux
import Glibc
public import Host

/// A port of a bridge, opened and closed by one netlink message each; rtnetlink(7), linux/if_bridge.h.
///
/// Needs CAP_NET_ADMIN. The socket and both messages are made beforehand: `set` costs about 0.1 ms in the freeze.
public final class BridgePort: Sendable {
    /// BR_STATE_DISABLED and BR_STATE_FORWARDING.
    public enum State: UInt8, Sendable { case closed = 0, open = 3 }

    public let interface: String
    public let index: Int32
    private let socket: SharedDescriptor

    /// - Parameter interface: name in the calling thread's network namespace.
    public init(interface: String) throws(SystemError) {
        self.interface = interface
        index = Int32(if_nametoindex(interface))
        guard index > 0 else { throw SystemError(call: "if_nametoindex", subject: interface, errno: errno) }
        let raw = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        socket = SharedDescriptor(
            OwnedDescriptor(taking: Int32(try kernelResult("socket", "AF_NETLINK", linux_socket(AF_NETLINK, raw, 0)))))
    }

    /// Sets the state and waits for the kernel's answer. Repeating is harmless.
    /// - Throws: EOPNOTSUPP if the interface is no port of a bridge.
    public func set(_ state: State) throws(SystemError) {
        let message = Self.message(index: index, state: state)
        try kernelResult("send", "netlink", linux_send_bytes(socket.raw, message, message.count))
        var answer = [UInt8](repeating: 0, count: 4096)
        let n = try kernelResult("recv", "netlink", linux_receive_bytes(socket.raw, &answer, answer.count, 0))
        // nlmsghdr (16 bytes), then the error number, 0 for success
        guard n >= 20 else { throw SystemError(call: "netlink", subject: interface, errno: EBADMSG) }
        let code = answer.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 16, as: Int32.self) }
        try kernelResult("RTM_SETLINK bridge port", interface, Int(code))
    }

    /// The state as the kernel has it now.
    public func state() throws(SystemError) -> State? {
        State(rawValue: UInt8(try FileIO.readLine("/sys/class/net/\(interface)/brport/state")) ?? 255)
    }

    /// RTM_SETLINK for AF_BRIDGE with IFLA_PROTINFO { IFLA_BRPORT_STATE }.
    static func message(index: Int32, state: State) -> [UInt8] {
        func four(_ v: UInt32) -> [UInt8] { withUnsafeBytes(of: v.littleEndian, Array.init) }
        func two(_ v: UInt16) -> [UInt8] { withUnsafeBytes(of: v.littleEndian, Array.init) }
        let length: UInt32 = 16 + 16 + 4 + 8
        return four(length) + two(19) + two(0x5) + four(0) + four(0)  // RTM_SETLINK, REQUEST | ACK
            + [7, 0] + two(0) + four(UInt32(bitPattern: index)) + four(0) + four(0)  // ifinfomsg: AF_BRIDGE
            + two(4 + 8) + two(12 | 0x8000)  // IFLA_PROTINFO, nested
            + two(5) + two(1) + [state.rawValue, 0, 0, 0]  // IFLA_BRPORT_STATE, padded to four bytes
    }
}
