import Glibc
import Host
import Model
import Testing

@testable import Wire

/// Short limits, so that a test that fails ends soon.
private let quick: ConnectionOptions = {
    var options = ConnectionOptions()
    options.connectTimeout = .seconds(15)
    return options
}()

@Suite struct HandshakeTests {
    @Test(arguments: ["127.0.0.1", "localhost"]) func `two hosts of one authority meet`(host: String) throws {
        let beta = try TestAuthority.shared.credentials("localhost")
        let (dialled, accepted) = try meet(host: host, client: try TwoHosts().alpha, server: beta, options: quick).both()
        #expect(dialled.preamble == accepted.preamble)
        #expect(dialled.peer.hasPrefix("\(host):"))
        #expect(accepted.peer.hasPrefix("127.0.0.1:"))
        dialled.close()
        accepted.waitUntilClosed()
    }

    @Test func `without credentials two sides meet in plain text`() throws {
        let (dialled, accepted) = try meet(client: nil, server: nil).both()
        dialled.close()
        accepted.waitUntilClosed()
    }

    @Test func `both sides learn that they have different authorities`() throws {
        let foreign = try TestAuthority.other.credentials("gamma")
        let meeting = try meet(client: foreign, server: try TwoHosts().beta, options: quick)
        let start = "its certificate: the certificate was issued by another authority (martlet authority "
        #expect(meeting.dialledError?.why.hasPrefix(start) == true)
        #expect(meeting.dialledError?.hint == "both hosts need certificates of one authority: martlet certs issue")
        let error = try #require(meeting.acceptedError)
        guard case .tls(_, .alert(.unknownAuthority)) = error else {
            Issue.record("\(error)")
            return
        }
    }

    @Test func `a client of another authority is told so`() throws {
        // The client trusts the server's authority, but its own certificate is of another one.
        let directory = try TestAuthority.other.host("gamma")
        let authority = try CertificateFiles.read("\(TestAuthority.shared.directory)/authority.pem")
        try CertificateFiles.write(authority, to: "\(directory)/authority.pem", isPrivate: false, replacing: true)
        let client = try Credentials(directory: directory, checkingOwn: false)
        let meeting = try meet(client: client, server: try TwoHosts().beta, options: quick)
        guard case .tls(_, .alert(.unknownAuthority)) = meeting.dialledError else {
            Issue.record("\(meeting)")
            return
        }
        guard case .tls(_, .theirs(.wrongAuthority)) = meeting.acceptedError else {
            Issue.record("\(meeting)")
            return
        }
    }

    private static let past = Validity(fromSeconds: -7200, untilSeconds: -3600)

    @Test func `a server's expired certificate is told to both`() throws {
        let old = try TestAuthority.shared.credentials("beta", validity: Self.past)
        let meeting = try meet(client: try TwoHosts().alpha, server: old, options: quick)
        guard case .tls(_, .theirs(.expired)) = meeting.dialledError else {
            Issue.record("\(meeting)")
            return
        }
        guard case .tls(_, .alert(.certificateExpired)) = meeting.acceptedError else {
            Issue.record("\(meeting)")
            return
        }
    }

    @Test func `a client's expired certificate is told to both`() throws {
        let old = try TestAuthority.shared.credentials("alpha", validity: Self.past)
        let meeting = try meet(client: old, server: try TwoHosts().beta, options: quick)
        guard case .tls(_, .alert(.certificateExpired)) = meeting.dialledError else {
            Issue.record("\(meeting)")
            return
        }
        guard case .tls(_, .theirs(.expired)) = meeting.acceptedError else {
            Issue.record("\(meeting)")
            return
        }
    }

    @Test func `a certificate of the future hints at the clocks`() throws {
        let new = try TestAuthority.shared.credentials("beta", validity: Validity(fromSeconds: 3600, untilSeconds: 7200))
        let meeting = try meet(client: try TwoHosts().alpha, server: new, options: quick)
        guard case .tls(_, .theirs(.notYetValid)) = meeting.dialledError else {
            Issue.record("\(meeting)")
            return
        }
        #expect(meeting.dialledError?.hint == "compare the two hosts' clocks")
    }

    @Test func `a client without a certificate is refused`() throws {
        let hosts = try TwoHosts()
        let meeting = try meet(client: Credentials(withoutCertificateOf: hosts.alpha), server: hosts.beta, options: quick)
        guard case .tls(_, .alert(.certificateRequired)) = meeting.dialledError else {
            Issue.record("\(meeting)")
            return
        }
        guard case .tls(_, .theirs(.missing)) = meeting.acceptedError else {
            Issue.record("\(meeting)")
            return
        }
    }

    @Test func `a certificate without the dialled address is refused by name`() throws {
        let elsewhere = try TestAuthority.shared.credentials("beta", addresses: ["10.77.0.2"])
        let meeting = try meet(client: try TwoHosts().alpha, server: elsewhere, options: quick)
        #expect(meeting.dialledError?.why == "its certificate: the certificate is for beta, 10.77.0.2, not for 127.0.0.1")
        #expect(meeting.dialledError?.hint.hasSuffix("martlet certs issue NAME --address 127.0.0.1") == true)
        guard case .refused(_, let refusal) = meeting.acceptedError, refusal.reason == .wrongName else {
            Issue.record("\(meeting)")
            return
        }
    }

    @Test(arguments: [UInt16(0), 2, 99]) func `another protocol version is refused with words`(version: UInt16) throws {
        let hosts = try TwoHosts()
        let meeting = try meet(client: hosts.alpha, server: hosts.beta, options: quick, version: version)
        guard case .preamble(_, .version(came: version)) = meeting.acceptedError else {
            Issue.record("\(meeting)")
            return
        }
        guard case .refused(_, let refusal) = meeting.dialledError else {
            Issue.record("\(meeting)")
            return
        }
        #expect(refusal.reason == .protocolVersion)
        #expect(refusal.note == "speaks version 1")
    }

    @Test func `a refusal of the agent reaches the dialling side`() throws {
        let listener = try Listener()
        let port = listener.port
        let agent = try Thread(named: "agent") { [listener = SharedDescriptor(try listener.descriptor.duplicate())] in
            let descriptor = OwnedDescriptor(taking: Glibc.accept(listener.raw, nil, nil))
            _ = try? Preamble.receive(on: descriptor)
            Refusal(.busy, note: "8 migrations").send(on: descriptor)
        }
        let preamble = Preamble(role: .control, migration: .random())
        let alpha = try TwoHosts().alpha
        #expect(throws: WireError.refused(peer: "127.0.0.1:\(port)", Refusal(.busy, note: "8 migrations"))) {
            try Dialer.connect(host: "127.0.0.1", port: port, preamble: preamble, credentials: alpha)
        }
        agent.join()
    }

    @Test func `a preamble that was altered on the way is noticed`() throws {
        let listener = try Listener()
        let port = listener.port
        let hosts = try TwoHosts()
        let answer = Mailbox<WireError?>()
        let session = try Thread(named: "session") { [listener = SharedDescriptor(try listener.descriptor.duplicate())] in
            let descriptor = OwnedDescriptor(taking: Glibc.accept(listener.raw, nil, nil))
            do throws(WireError) {
                var preamble = try Preamble.receive(on: descriptor)
                preamble.stream = 5  // what somebody between the hosts would do
                _ = try Acceptor.adopt(descriptor, preamble: preamble, credentials: hosts.beta)
                answer.post(nil)
            } catch {
                answer.post(error)
            }
        }
        let preamble = Preamble(role: .data, migration: .random())
        #expect(throws: WireError.altered(peer: "127.0.0.1:\(port)")) {
            try Dialer.connect(host: "127.0.0.1", port: port, preamble: preamble, credentials: hosts.alpha)
        }
        session.join()
        let error = try #require(answer.next(deadline: .now + patience))
        guard case .refused(_, let refusal) = error, refusal.reason == .altered else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func `nobody listening is told with the address`() throws {
        let listener = try Listener()
        let port = listener.port
        shutdown(listener.descriptor.raw, Int32(SHUT_RDWR))
        let preamble = Preamble(role: .control, migration: .random())
        #expect {
            try Dialer.connect(host: "127.0.0.1", port: port, preamble: preamble, credentials: nil)
        } throws: { error in
            "\(error)" == "cannot connect to 127.0.0.1:\(port): Connection refused"
        }
    }

    @Test func `a silent listener runs into the time limit`() throws {
        let listener = try Listener()
        let port = listener.port
        var options = ConnectionOptions()
        options.connectTimeout = .milliseconds(300)
        let preamble = Preamble(role: .control, migration: .random())
        let alpha = try TwoHosts().alpha
        #expect(throws: WireError.timedOut(peer: "127.0.0.1:\(port)", stage: .handshake, seconds: 0.3)) {
            try Dialer.connect(host: "127.0.0.1", port: port, preamble: preamble, credentials: alpha, options: options)
        }
        _ = listener
    }

    @Test func `a listener that is no martlet is told apart`() throws {
        let listener = try Listener()
        let port = listener.port
        let other = try Thread(named: "http") { [listener = SharedDescriptor(try listener.descriptor.duplicate())] in
            let descriptor = OwnedDescriptor(taking: Glibc.accept(listener.raw, nil, nil))
            var bytes = [UInt8](repeating: 0, count: 32)
            _ = recv(descriptor.raw, &bytes, 32, 0)
            let text = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
            _ = send(descriptor.raw, text, text.utf8.count, Int32(MSG_NOSIGNAL))
            while recv(descriptor.raw, &bytes, 32, 0) > 0 {}
        }
        let preamble = Preamble(role: .control, migration: .random())
        let alpha = try TwoHosts().alpha
        #expect {
            try Dialer.connect(host: "127.0.0.1", port: port, preamble: preamble, credentials: alpha)
        } throws: { error in
            if case .tls(_, .other) = error as? WireError { true } else { false }
        }
        other.join()
    }
}
