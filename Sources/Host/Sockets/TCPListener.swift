import CLinux
import Glibc

/// A listening TCP socket; tcp(7). Transport security is done by who takes the accepted connection.
public struct TCPListener: ~Copyable, Sendable {
    public let descriptor: OwnedDescriptor

    /// - Parameter address: numeric, `0.0.0.0` or `::` for all.
    public init(address: String, port: UInt16, backlog: Int32 = 64) throws(SystemError) {
        let result = linux_listen_tcp(address, port, backlog)
        guard result >= 0 else {
            throw SystemError(
                call: "listen", subject: "\(address):\(port)", errno: Int32(-result),
                hint: -result == Int(EADDRINUSE) ? "is an agent running already?" : nil)
        }
        descriptor = OwnedDescriptor(taking: Int32(result))
    }

    /// Takes the next connection and tells who made it, as `ADDRESS:PORT`.
    public borrowing func accept() throws(SystemError) -> OwnedDescriptor {
        while true {
            let result = linux_accept(descriptor.raw, Int32(SOCK_CLOEXEC.rawValue))
            if result >= 0 { return OwnedDescriptor(taking: Int32(result)) }
            // A connection that broke before it was taken is no fault of the listener.
            if -result == Int(EINTR) || -result == Int(ECONNABORTED) { continue }
            throw SystemError(call: "accept4", subject: "TCP", errno: Int32(-result))
        }
    }
}

/// `ADDRESS:PORT` of a connected socket's other end.
public func peerName(of descriptor: Int32) -> String {
    var text = [CChar](repeating: 0, count: 80)
    guard linux_peer_name(descriptor, &text, text.count) == 0 else { return "unknown" }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
