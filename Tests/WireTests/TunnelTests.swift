import Glibc
import Host
import Model
import Testing

@testable import Wire

/// The program's end of a tunnel's local stream, and the tunnel itself.
private struct Mouth {
    let tunnel: ByteTunnel
    let program: SharedDescriptor
    let ends: Mailbox<TunnelEnd>

    init(_ connection: Connection, limit: BandwidthLimit? = nil) throws {
        var raw: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &raw) == 0)
        let ends = Mailbox<TunnelEnd>()
        self.ends = ends
        program = SharedDescriptor(OwnedDescriptor(taking: raw[0]))
        tunnel = ByteTunnel(connection, socket: OwnedDescriptor(taking: raw[1]), limit: limit) { ends.post($0) }
    }
    func end() throws -> TunnelEnd { try #require(ends.next(deadline: .now + patience)) }
}

private func writeAll(_ bytes: [UInt8], to descriptor: SharedDescriptor) -> Bool {
    var done = 0
    while done < bytes.count {
        let count = bytes.withUnsafeBytes {
            send(descriptor.raw, $0.baseAddress! + done, bytes.count - done, Int32(MSG_NOSIGNAL))
        }
        if count < 0 { return false }
        done += count
    }
    return true
}

private func readToEnd(_ descriptor: SharedDescriptor) -> [UInt8] {
    var all: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(descriptor.raw, &piece, piece.count)
        if count <= 0 { return all }
        all += piece[..<count]
    }
}

private func mouths(_ options: ConnectionOptions = ConnectionOptions(), limit: BandwidthLimit? = nil) throws -> (Mouth, Mouth) {
    let hosts = try TwoHosts()
    let (dialled, accepted) = try meet(role: .files, client: hosts.alpha, server: hosts.beta, options: options).both()
    return (try Mouth(dialled, limit: limit), try Mouth(accepted))
}

@Suite struct TunnelTests {
    @Test func `what the local program sends keeps to the limit of the migration`() throws {
        let limit = BandwidthLimit(rate: ByteCount(8_000_000))
        let (alpha, beta) = try mouths(limit: limit)
        var seeded = Seeded(6)
        let bytes = seeded.noise(3_000_000)
        let start = MonotonicInstant.now
        let sending = try Thread(named: "sending") { [program = alpha.program] in
            _ = writeAll(bytes, to: program)
            shutdown(program.raw, Int32(SHUT_WR))
        }
        #expect(readToEnd(beta.program) == bytes)
        // A tenth of a second's worth is in the bucket; the last piece's debt is nobody's to wait for.
        #expect(start.elapsed > .milliseconds(200) && start.elapsed < .seconds(20), "\(start.elapsed)")
        sending.join()
        shutdown(beta.program.raw, Int32(SHUT_WR))
        #expect(readToEnd(alpha.program) == [])
        #expect(try alpha.end() == .finished && beta.end() == .finished)
    }

    @Test func `bytes pass both ways and each direction has an end of its own`() throws {
        let (alpha, beta) = try mouths()
        var seeded = Seeded(5)
        let (question, answer) = (seeded.noise(3_000_000), seeded.noise(5_000_000))
        let asking = try Thread(named: "asking") { [program = alpha.program] in
            _ = writeAll(question, to: program)
            shutdown(program.raw, Int32(SHUT_WR))
        }
        // The far program hears everything up to the end before it answers: half closed.
        #expect(readToEnd(beta.program) == question)
        let answering = try Thread(named: "answering") { [program = beta.program] in
            _ = writeAll(answer, to: program)
            shutdown(program.raw, Int32(SHUT_WR))
        }
        #expect(readToEnd(alpha.program) == answer)
        asking.join()
        answering.join()
        #expect(try alpha.end() == .finished)
        #expect(try beta.end() == .finished)
        #expect(alpha.tunnel.bytesSent == ByteCount(question.count))
        #expect(alpha.tunnel.bytesReceived == ByteCount(answer.count))
    }

    @Test func `both directions at once don't block each other`() throws {
        let (alpha, beta) = try mouths()
        let content = texture(8_000_000)
        let threads = try [alpha.program, beta.program].map { program in
            try Thread(named: "writing") {
                _ = writeAll(content, to: program)
                shutdown(program.raw, Int32(SHUT_WR))
            }
        }
        let reading = try Thread(named: "reading") { [program = beta.program] in _ = readToEnd(program) }
        #expect(readToEnd(alpha.program) == content)
        reading.join()
        threads.forEach { $0.join() }
        #expect(try alpha.end() == .finished)
        #expect(try beta.end() == .finished)
    }

    @Test func `a program that does not read holds the other one back`() throws {
        let (alpha, beta) = try mouths()
        let sent = Mailbox<Void>()
        let total = 100 << 20
        let writing = try Thread(named: "writing") { [program = alpha.program] in
            let piece = texture(1 << 20)
            for _ in 0..<100 where !writeAll(piece, to: program) { return }
            shutdown(program.raw, Int32(SHUT_WR))
            sent.post(())
        }
        // It comes to a stop well before the end.
        var last = ByteCount(-1)
        while last != alpha.tunnel.bytesSent || last == .zero {
            last = alpha.tunnel.bytesSent
            sleepThread(.milliseconds(300))
        }
        #expect(last < .mebibytes(40))
        #expect(sent.next(deadline: .now) == nil)
        #expect(readToEnd(beta.program).count == total)
        shutdown(beta.program.raw, Int32(SHUT_WR))
        writing.join()
        #expect(try alpha.end() == .finished)
        #expect(try beta.end() == .finished)
    }

    @Test func `an end before the tunnel is open is not lost`() throws {
        let (alpha, beta) = try mouths()
        shutdown(alpha.program.raw, Int32(SHUT_WR))
        shutdown(beta.program.raw, Int32(SHUT_WR))
        #expect(readToEnd(alpha.program).isEmpty)
        #expect(readToEnd(beta.program).isEmpty)
        #expect(try alpha.end() == .finished)
        #expect(try beta.end() == .finished)
    }

    @Test func `a connection that breaks is told apart from an end`() throws {
        let (alpha, beta) = try mouths()
        _ = writeAll([1, 2, 3], to: alpha.program)
        alpha.tunnel.close()
        guard case .failed(.closed) = try alpha.end() else {
            Issue.record("not closed")
            return
        }
        guard case .failed(.lost) = try beta.end() else {
            Issue.record("not lost")
            return
        }
        #expect(readToEnd(beta.program).count <= 3, "the program sees an end, not a hang")
    }

    @Test func `pipes work as well as a socket`() throws {
        let hosts = try TwoHosts()
        let (dialled, accepted) = try meet(role: .files, client: hosts.alpha, server: hosts.beta).both()
        let beta = try Mouth(accepted)
        var toProgram: [Int32] = [-1, -1]
        var fromProgram: [Int32] = [-1, -1]
        try #require(pipe(&toProgram) == 0 && pipe(&fromProgram) == 0)
        let ends = Mailbox<TunnelEnd>()
        let tunnel = ByteTunnel(
            dialled, input: OwnedDescriptor(taking: fromProgram[0]), output: OwnedDescriptor(taking: toProgram[1])
        ) { ends.post($0) }
        let program = SharedDescriptor(OwnedDescriptor(taking: toProgram[0]))
        #expect(write(fromProgram[1], "hello", 5) == 5)
        close(fromProgram[1])
        #expect(readToEnd(beta.program) == Array("hello".utf8))
        _ = writeAll(Array("goodbye".utf8), to: beta.program)
        shutdown(beta.program.raw, Int32(SHUT_WR))
        #expect(readToEnd(program) == Array("goodbye".utf8))
        #expect(ends.next(deadline: .now + patience) == .finished)
        #expect(try beta.end() == .finished)
        _ = tunnel
    }

    @Test func `a program that dies is told to both sides`() throws {
        let hosts = try TwoHosts()
        let (dialled, accepted) = try meet(role: .files, client: hosts.alpha, server: hosts.beta).both()
        let alpha = try Mouth(dialled)
        let ends = Mailbox<TunnelEnd>()
        var raw: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &raw) == 0)
        let tunnel = ByteTunnel(accepted, socket: OwnedDescriptor(taking: raw[1])) { ends.post($0) }
        close(raw[0])
        let writing = try Thread(named: "writing") { [program = alpha.program] in
            while writeAll([UInt8](repeating: 1, count: 65_536), to: program) {}
        }
        let end = try alpha.end()
        guard case .failed(.complaint) = end else {
            Issue.record("no complaint: \(end)")
            return
        }
        guard case .failed(.system) = try #require(ends.next(deadline: .now + patience)) else {
            Issue.record("not system")
            return
        }
        writing.join()
        _ = tunnel
    }
}
