import CLinux
import Glibc
import Host

/// Gives frames to a container through the host's end of its cable.
public final class FrameInjector: Sendable {
    private let socket: SharedDescriptor
    private let mac: MACAddress

    /// - Parameter hostName: the cable's end in the calling thread's network namespace.
    init(hostName: String, mac: MACAddress) throws(SystemError) {
        let index = Int32(if_nametoindex(hostName))
        guard index > 0 else { throw SystemError(call: "if_nametoindex", subject: hostName, errno: errno) }
        socket = SharedDescriptor(
            OwnedDescriptor(taking: Int32(try kernelResult("packet socket", hostName, linux_open_injector(index)))))
        self.mac = mac
    }

    /// Whether a frame may be given to this container.
    public func takes(_ frame: CapturedFrame) -> Bool { frame.isFor(mac) }

    /// Gives one. What the kernel doesn't take is as good as lost on the way: its sender repeats it.
    public func give(_ frame: CapturedFrame) {
        guard takes(frame) else { return }
        _ = linux_send_bytes(socket.raw, frame.bytes, frame.bytes.count)
    }
}
