import Glibc
import Host
import Model

/// Plain TCP sockets, tcp(7): dialling with a deadline, and the options that every connection gets.
enum TCPSocket {
    /// TCP_USER_TIMEOUT of linux/tcp.h; glibc's header has it only with its own set of macros.
    private static let userTimeoutOption: Int32 = 18

    /// Connects to the first address of `host` that answers.
    static func connect(host: String, port: UInt16, deadline: MonotonicInstant) throws(WireError) -> OwnedDescriptor {
        let peer = peerName(host, port)
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, "\(port)", &hints, &list)
        guard code == 0 else {
            throw .unreachable(peer: peer, why: "the name cannot be resolved: \(String(cString: gai_strerror(code)))")
        }
        defer { freeaddrinfo(list) }
        var failure = WireError.unreachable(peer: peer, why: "the name has no address")
        var next = list
        while let address = next?.pointee {
            do {
                return try connect(to: address, peer: peer, deadline: deadline)
            } catch {
                failure = error
            }
            next = address.ai_next
        }
        throw failure
    }

    private static func connect(
        to address: addrinfo, peer: String, deadline: MonotonicInstant
    ) throws(WireError) -> OwnedDescriptor {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let raw = socket(address.ai_family, type, 0)
        guard raw >= 0 else { throw .system(operation: "socket", why: errorText()) }
        let descriptor = OwnedDescriptor(taking: raw)
        let result = Glibc.connect(descriptor.raw, address.ai_addr, address.ai_addrlen)
        if result < 0 && errno == EINPROGRESS {
            let events = system("waiting for a connection") { () throws(SystemError) in
                try Poll.wait(descriptor.raw, for: .output, until: deadline)
            }
            if try events.get().isEmpty { throw .timedOut(peer: peer, stage: .connect, seconds: 0) }
            let code = pendingError(descriptor.raw)
            guard code == 0 else { throw .unreachable(peer: peer, why: errorText(code)) }
        } else if result < 0 {
            throw .unreachable(peer: peer, why: errorText())
        }
        return descriptor
    }

    private static func pendingError(_ descriptor: Int32) -> Int32 {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : errno
    }

    /// Sets what every connection gets. Sockets that are not TCP (tests, ssh) keep what they have.
    static func tune(_ descriptor: borrowing OwnedDescriptor, _ options: ConnectionOptions) {
        // Without it on both sides the hello took 48 ms instead of 2: Nagle waits for a delayed acknowledgement.
        set(descriptor.raw, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        set(descriptor.raw, Int32(IPPROTO_TCP), userTimeoutOption, Int32(clamping: Int(options.userTimeout.inMilliseconds)))
        set(descriptor.raw, SOL_SOCKET, SO_KEEPALIVE, 1)
        if let size = options.sendBuffer { set(descriptor.raw, SOL_SOCKET, SO_SNDBUF, Int32(clamping: size.rawValue)) }
    }

    private static func set(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// The other end as text.
    static func peerText(_ descriptor: borrowing OwnedDescriptor) -> String {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        var port = [CChar](repeating: 0, count: 16)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                guard getpeername(descriptor.raw, generic, &length) == 0, generic.pointee.sa_family != AF_UNIX else {
                    return Int32(1)
                }
                return getnameinfo(
                    generic, length, &host, socklen_t(host.count), &port, socklen_t(port.count), NI_NUMERICHOST | NI_NUMERICSERV)
            }
        }
        guard code == 0 else { return "a local peer" }
        let texts = [host, port].map { text in
            String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        return texts[0].contains(":") ? "[\(texts[0])]:\(texts[1])" : "\(texts[0]):\(texts[1])"
    }

    static func peerName(_ host: String, _ port: UInt16) -> String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

/// Calls something of `Host` and gives its error the form of this room.
func system<Value>(_ operation: String, _ body: () throws(SystemError) -> Value) -> Result<Value, WireError> {
    do {
        return .success(try body())
    } catch {
        return .failure(.system(operation: operation, why: error.description))
    }
}
