import CLinux
import Glibc
import Host

/// Listens on the bridge to what is sent to the container, also while its port is closed; packet(7).
///
/// The kernel keeps the frames until they are read: in the freeze nothing has to be done for them. On the bridge, not on the
/// container's own cable, because a closed port lets nothing through to there.
final class FrameTap: Sendable {
    private let socket: SharedDescriptor
    private let interface: Int

    /// Half a second of a full 1 Gbit/s link; what doesn't fit is lost, and TCP repeats it.
    static let memory: Int32 = 64 << 20

    /// - Parameters:
    ///   - bridge: name in the calling thread's network namespace.
    ///   - interface: which of the container's.
    init(bridge: String, interface: Int, mac: MACAddress) throws(SystemError) {
        let index = Int32(if_nametoindex(bridge))
        guard index > 0 else { throw SystemError(call: "if_nametoindex", subject: bridge, errno: errno) }
        socket = SharedDescriptor(
            OwnedDescriptor(
                taking: Int32(try kernelResult("packet socket", bridge, linux_open_tap(index, mac.bytes, Self.memory)))))
        self.interface = interface
    }

    var descriptor: Int32 { socket.raw }

    /// Takes what is there without waiting.
    func drain(_ take: (CapturedFrame) -> Void) {
        withUnsafeTemporaryAllocation(byteCount: CapturedFrame.mostBytes, alignment: 8) { buffer in
            while true {
                let flags = Int32(MSG_DONTWAIT | MSG_TRUNC)
                let n = linux_receive_bytes(socket.raw, buffer.baseAddress, buffer.count, flags)
                // An interface that went down is told once (ENETDOWN); then frames come again.
                if n == -Int(ENETDOWN) || n == -Int(EINTR) { continue }
                guard n >= 0 else { return }
                guard n <= buffer.count else { continue }
                take(CapturedFrame(interface: interface, bytes: Array(buffer[..<n])))
            }
        }
    }
}
