import Model
import Glibc
import Host
import Testing

@testable import Wire

extension Tag { @Tag static var slow: Self }

/// Longest wait for an event: far beyond what a loaded machine needs.
let patience = Duration.seconds(30)

/// A socket that listens on a port of its own of the loopback address.
struct Listener: ~Copyable {
    let descriptor: OwnedDescriptor
    let port: UInt16

    init() throws {
        let raw = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        descriptor = OwnedDescriptor(taking: raw)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(raw, generic, length) == 0 && listen(raw, 16) == 0 && getsockname(raw, generic, &length) == 0
            }
        }
        try #require(result)
        port = UInt16(bigEndian: address.sin_port)
    }

    /// The next connection's socket.
    func accept() throws -> OwnedDescriptor {
        _ = try Poll.wait(descriptor.raw, for: .input, until: .now + patience)
        let raw = Glibc.accept(descriptor.raw, nil, nil)
        try #require(raw >= 0)
        return OwnedDescriptor(taking: raw)
    }
}

/// Both ends of one connection, or why either did not come about.
struct Meeting: Sendable {
    var dialled: Result<Connection, WireError>
    var accepted: Result<Connection, WireError>

    var dialledError: WireError? { if case .failure(let error) = dialled { error } else { nil } }
    var acceptedError: WireError? { if case .failure(let error) = accepted { error } else { nil } }

    /// Both connections, which must have come about.
    func both() throws -> (dialled: Connection, accepted: Connection) { (try dialled.get(), try accepted.get()) }
}

/// Lets two parties meet over the loopback interface.
func meet(
    role: ConnectionRole = .control, host: String = "127.0.0.1", client: Credentials?, server: Credentials?,
    options: ConnectionOptions = ConnectionOptions(), version: UInt16 = Preamble.protocolVersion
) throws -> Meeting {
    let listener = try Listener()
    let port = listener.port
    let answer = Mailbox<Result<Connection, WireError>>()
    let thread = try Thread(named: "accepting") { [descriptor = SharedDescriptor(try listener.descriptor.duplicate())] in
        answer.post(accept(on: descriptor, server, options))
    }
    let preamble = Preamble(role: role, stream: 1, migration: .random())
    let dialled: Result<Connection, WireError>
    do {
        dialled = .success(
            try Dialer.connect(
                host: host, port: port, preamble: preamble, credentials: client, options: options, version: version))
    } catch {
        dialled = .failure(error)
    }
    thread.join()
    return Meeting(dialled: dialled, accepted: try #require(answer.next(deadline: .now + patience)))
}

private func accept(
    on listener: SharedDescriptor, _ credentials: Credentials?, _ options: ConnectionOptions
) -> Result<Connection, WireError> {
    _ = try? Poll.wait(listener.raw, for: .input, until: .now + patience)
    let descriptor = OwnedDescriptor(taking: Glibc.accept(listener.raw, nil, nil))
    do throws(WireError) {
        let preamble = try Preamble.receive(on: descriptor)
        return .success(try Acceptor.adopt(descriptor, preamble: preamble, credentials: credentials, options: options))
    } catch {
        return .failure(error)
    }
}

/// Two hosts of one authority.
struct TwoHosts {
    let alpha: Credentials
    let beta: Credentials

    init() throws {
        alpha = try TestAuthority.shared.credentials("alpha")
        beta = try TestAuthority.shared.credentials("beta")
    }
}
