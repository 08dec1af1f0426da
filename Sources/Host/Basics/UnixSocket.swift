import CLinux
import Glibc

/// Descriptors that came over a socket; those not taken are closed.
public struct ReceivedDescriptors: ~Copyable, Sendable {
    private var raw: [Int32]
    init(_ raw: [Int32]) { self.raw = raw }
    public var count: Int { raw.count }
    /// Takes over the first that is left.
    public mutating func takeFirst() -> OwnedDescriptor? { raw.isEmpty ? nil : OwnedDescriptor(taking: raw.removeFirst()) }
    deinit { for descriptor in raw { close(descriptor) } }
}

/// A socket within one host: unix(7), with descriptor passing (SCM_RIGHTS).
public struct UnixSocket: ~Copyable, Sendable {
    public enum Kind: Sendable {
        /// Bytes without bounds.
        case stream
        /// Messages with bounds, in order, and an end that is seen.
        case messages
        var type: Int32 { Int32(self == .stream ? SOCK_STREAM.rawValue : SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue) }
    }

    /// Most descriptors in one message.
    public static let maximumDescriptors = Int(LINUX_MAX_PASSED)

    public let descriptor: OwnedDescriptor
    public init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

    /// The bare descriptor, out of the socket.
    public consuming func takeDescriptor() -> OwnedDescriptor { descriptor }

    private static func make(_ kind: Kind) throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(taking: Int32(try check("socket", "AF_UNIX", linux_socket(AF_UNIX, kind.type, 0))))
    }

    /// Two ends joined to each other.
    public struct Pair: ~Copyable {
        public let first: UnixSocket
        public let second: UnixSocket
        public consuming func split(_ body: (consuming UnixSocket, consuming UnixSocket) -> Void) { body(first, second) }
    }
    public static func pair(_ kind: Kind) throws(SystemError) -> Pair {
        var ends: [Int32] = [-1, -1]
        try check("socketpair", "AF_UNIX", linux_socketpair(AF_UNIX, kind.type, 0, &ends))
        return Pair(first: UnixSocket(OwnedDescriptor(taking: ends[0])), second: UnixSocket(OwnedDescriptor(taking: ends[1])))
    }

    /// Listens at a path, which must not exist. Paths are limited to 107 bytes.
    public static func listen(at path: String, _ kind: Kind, backlog: Int32 = 64) throws(SystemError) -> UnixSocket {
        let socket = try make(kind)
        try check("bind", path, linux_bind_unix(socket.raw, path, path.utf8.count))
        try checkErrno("listen", path, Int(Glibc.listen(socket.raw, backlog)))
        return UnixSocket(socket)
    }

    /// Connects to a listener.
    public static func connect(to path: String, _ kind: Kind) throws(SystemError) -> UnixSocket {
        let socket = try make(kind)
        try check("connect", path, linux_connect_unix(socket.raw, path, path.utf8.count))
        return UnixSocket(socket)
    }

    /// Takes the next connection.
    /// - Returns: nil if none came before the deadline.
    public borrowing func accept(until deadline: MonotonicInstant? = nil) throws(SystemError) -> UnixSocket? {
        while true {
            if try Poll.wait(descriptor.raw, for: .input, until: deadline).isEmpty { return nil }
            let result = linux_accept(descriptor.raw, Int32(SOCK_CLOEXEC.rawValue))
            if result == -Int(EINTR) || result == -Int(ECONNABORTED) || result == -Int(EAGAIN) { continue }
            return UnixSocket(OwnedDescriptor(taking: Int32(try check("accept4", "unix socket", result))))
        }
    }

    /// Who made the other end: pid, user, group, as of the connect.
    public borrowing func peer() throws(SystemError) -> (pid: Int32, uid: UInt32, gid: UInt32) {
        var peer = linux_peer()
        try check("getsockopt(SO_PEERCRED)", "unix socket", linux_peer_credentials(descriptor.raw, &peer))
        return (peer.pid, peer.uid, peer.gid)
    }

    /// Sends all bytes. Descriptors travel with the first of them (so there must be at least one byte).
    /// - Parameter descriptors: borrowed numbers, duplicated into the message by the kernel.
    public borrowing func send(_ bytes: RawSpan, descriptors: [Int32] = []) throws(SystemError) {
        var done = 0, passed = descriptors
        repeat {
            let n = bytes.withUnsafeBytes { all in
                linux_send_descriptors(
                    descriptor.raw, all.baseAddress.map { $0 + done }, all.count - done, passed, Int32(passed.count), 0)
            }
            done += try check("sendmsg", "unix socket", n)
            passed = []
        } while done < bytes.byteCount
    }
    public borrowing func send(_ bytes: [UInt8], descriptors: [Int32] = []) throws(SystemError) {
        try send(bytes.span.bytes, descriptors: descriptors)
    }

    /// Bytes and descriptors of one receive call.
    public struct Received: ~Copyable {
        /// 0 is the end of the connection.
        public let count: Int
        public var descriptors: ReceivedDescriptors
    }

    /// Receives what is there, at most the buffer's size, waiting for the first byte.
    /// - Throws: EMSGSIZE if a message or its descriptors didn't fit: they are lost then, the descriptors closed.
    public borrowing func receive(into buffer: inout [UInt8], maximumDescriptors: Int = 0) throws(SystemError) -> Received {
        var raw = [Int32](repeating: -1, count: maximumDescriptors)
        var n = Int32(maximumDescriptors), truncated: Int32 = 0
        let got = buffer.withUnsafeMutableBytes {
            linux_receive_descriptors(descriptor.raw, $0.baseAddress, $0.count, &raw, &n, 0, &truncated)
        }
        try check("recvmsg", "unix socket", got)
        let descriptors = ReceivedDescriptors(Array(raw[..<Int(n)]))
        if truncated != 0 {
            throw SystemError(
                call: "recvmsg", subject: "unix socket", errno: EMSGSIZE, hint: "the message was longer than the buffer")
        }
        return Received(count: got, descriptors: descriptors)
    }

    /// Receives one message as an array of its own size.
    public borrowing func receiveMessage(limit: Int = 64 << 10) throws(SystemError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: limit)
        let n = try receive(into: &buffer).count
        buffer.removeLast(limit - n)
        return buffer
    }
}
