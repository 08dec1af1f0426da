import Glibc

/// One non-blocking connection to a service.
///
/// Non-blocking, because a client that waits for a lost SYN's repetition (a second) would measure TCP instead of the migration.
final class Connection {
    let socket: Int32
    private let dialect: Dialect
    private(set) var isConnected = false
    private var outgoing: [UInt8] = []
    private var incoming: [UInt8] = []
    private var parsed = 0

    enum Failure: Error { case closed, refused(String) }

    /// Begins to connect; `advance` tells when it is done.
    init(to address: sockaddr_in, _ dialect: Dialect = .redis) throws(Failure) {
        self.dialect = dialect
        outgoing = dialect.greeting
        socket = Glibc.socket(
            AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw .closed }
        var one: Int32 = 1
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        var address = address
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result == 0 {
            isConnected = true
        } else if errno != EINPROGRESS {
            throw .closed  // deinit closes the socket
        }
    }

    deinit { close(socket) }

    /// What poll(2) should wait for.
    var events: Int16 { Int16(isConnected && outgoing.isEmpty ? POLLIN : POLLIN | POLLOUT) }

    /// Queues a command's bytes; `advance` sends them.
    func queue(_ bytes: some Collection<UInt8>) { outgoing.append(contentsOf: bytes) }

    /// Does what can be done without waiting: finishes the connecting, sends, receives.
    func advance() throws(Failure) {
        if !isConnected { try finishConnecting() }
        guard isConnected else { return }
        try send()
        try receive()
    }

    private func finishConnecting() throws(Failure) {
        var wait = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
        guard poll(&wait, 1, 0) > 0 else { return }
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size)
        guard code == 0 else { throw .closed }
        isConnected = true
    }

    private func send() throws(Failure) {
        while !outgoing.isEmpty {
            let sent = Glibc.send(socket, outgoing, outgoing.count, Int32(MSG_NOSIGNAL))
            if sent < 0 {
                if errno == EAGAIN { return }
                throw .closed
            }
            outgoing.removeFirst(sent)
        }
    }

    private func receive() throws(Failure) {
        if parsed > 0 {
            incoming.removeFirst(parsed)
            parsed = 0
        }
        while true {
            let had = incoming.count
            var got = 0
            incoming.append(contentsOf: repeatElement(0, count: 65536))
            incoming.withUnsafeMutableBytes { got = Glibc.recv(socket, $0.baseAddress! + had, 65536, 0) }
            incoming.removeLast(65536 - max(got, 0))
            if got == 0 { throw .closed }
            if got < 0 {
                if errno == EAGAIN { return }
                throw .closed
            }
            if got < 65536 { return }
        }
    }

    /// The next complete reply, or nil; its content as `Dialect` says.
    func nextReply() throws(Failure) -> [UInt8]? {
        guard let (content, end) = try dialect.reply(in: incoming, from: parsed) else { return nil }
        parsed = end
        return content
    }
}

/// A command in redis's protocol.
func command(_ words: [UInt8]...) -> [UInt8] {
    var bytes = Array("*\(words.count)\r\n".utf8)
    for word in words {
        bytes += Array("$\(word.count)\r\n".utf8)
        bytes += word
        bytes += [13, 10]
    }
    return bytes
}

/// An IPv4 address and port.
func socketAddress(_ host: String, _ port: UInt16) throws -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    guard inet_pton(AF_INET, host, &address.sin_addr) == 1 else { throw Failure("'\(host)' is no IPv4 address") }
    return address
}
