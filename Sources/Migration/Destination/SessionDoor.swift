import Glibc
import Host
import Model
import Plan
import Wire

/// The session's side of the hand-over (`Doorman`): each connection comes over a unix socket, with the preamble that was read and a mark
/// if it needs no TLS. The socket lies in a folder that only root can enter.
final class SessionDoor: Sendable {
    private let door: UnixSocket
    private let onConnection: @Sendable (SharedDescriptor, Preamble, Transport) -> Void
    private let onOrder: @Sendable (Order) -> Void

    /// Orders from `martlet recover` on this host, one byte each in place of a preamble.
    enum Order: UInt8, Sendable {
        /// A person says that the other host is gone for good.
        case runHere = 0x52
    }

    init(
        _ door: consuming UnixSocket, onConnection: @escaping @Sendable (SharedDescriptor, Preamble, Transport) -> Void,
        onOrder: @escaping @Sendable (Order) -> Void
    ) {
        self.door = door
        self.onConnection = onConnection
        self.onOrder = onOrder
    }

    /// Takes connections until the process ends.
    func serve() throws(SystemError) {
        _ = try Thread(named: "door") { [self] in
            while true {
                do {
                    guard let visitor = try door.accept() else { continue }
                    try admit(visitor)
                } catch {
                    logLine("door: \(error)")
                    sleepThread(.milliseconds(50))
                }
            }
        }
    }

    private func admit(_ visitor: consuming UnixSocket) throws(SystemError) {
        var buffer = [UInt8](repeating: 0, count: Preamble.byteCount + 1)
        var received = try visitor.receive(into: &buffer, maximumDescriptors: 1)
        if received.count == 1, let order = Order(rawValue: buffer[0]) { return onOrder(order) }
        guard received.count >= Preamble.byteCount, let descriptor = received.descriptors.takeFirst(),
            let preamble = try? Preamble(decoding: Array(buffer[..<Preamble.byteCount])),
            let transport = Transport(marks: buffer[Preamble.byteCount..<received.count])
        else { return }
        let connection = SharedDescriptor(descriptor)
        let onConnection = onConnection
        // The handshake takes round trips: the next visitor must not wait for it.
        _ = try Thread(named: "adopt") { onConnection(connection, preamble, transport) }
    }
}
