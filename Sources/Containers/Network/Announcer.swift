import CLinux
import Glibc
public import Host

/// Sends the frames that tell a network where the container is; packet(7), CAP_NET_RAW.
///
/// The socket is made beforehand in the container's namespace and bound to its interface, so that an announcement costs one
/// call for each address and comes out of the container's own port: the bridge learns it too.
public final class Announcer: Sendable {
    private let socket: SharedDescriptor
    private let frames: [[UInt8]]
    let interface: String

    /// Opens a socket on an interface of the calling thread's network namespace.
    /// - Parameter addresses: text forms; link-local ones too.
    public init(interface: String, mac: MACAddress, addresses: [String]) throws(SystemError) {
        let index = Int32(if_nametoindex(interface))
        guard index > 0 else { throw SystemError(call: "if_nametoindex", subject: interface, errno: errno) }
        let kind = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let number = try kernelResult("socket", "AF_PACKET", linux_socket(17 /* AF_PACKET */, kind, 0))
        let socket = OwnedDescriptor(taking: Int32(number))
        try kernelResult("bind", interface, linux_bind_packet(socket.raw, index))
        self.socket = SharedDescriptor(socket)
        self.interface = interface
        frames = addresses.compactMap { AnnouncementFrame.announcing($0, mac: mac) }
    }

    /// Sends all frames once.
    public func announce() throws(SystemError) {
        for frame in frames {
            try kernelResult("send", "announcement on \(interface)", linux_send_bytes(socket.raw, frame, frame.count))
        }
    }
}
