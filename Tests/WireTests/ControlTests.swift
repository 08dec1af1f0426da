import Glibc
import Host
import Testing

@testable import Wire

/// A control connection whose messages and end are posted to mailboxes.
struct Party {
    let control: ControlConnection
    let messages = Mailbox<[UInt8]>()
    let ends = Mailbox<ControlEnd>()

    init(_ connection: Connection) {
        control = ControlConnection(connection) { [messages] in
            messages.post($0)
        } onClosed: { [ends] in
            ends.post($0)
        }
    }
    func message() throws -> [UInt8] { try #require(messages.next(deadline: .now + patience)) }
    func end() throws -> ControlEnd { try #require(ends.next(deadline: .now + patience)) }
}

private func pair(_ options: ConnectionOptions = ConnectionOptions()) throws -> (Party, Party) {
    let hosts = try TwoHosts()
    let (dialled, accepted) = try meet(client: hosts.alpha, server: hosts.beta, options: options).both()
    return (Party(dialled), Party(accepted))
}

@Suite struct ControlTests {
    @Test func `a control header has its golden bytes`() throws {
        #expect(ControlHeader(kind: .message, length: 0x0102).encoded == [0x02, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00])
        #expect(try ControlHeader(length: 8, rest: 2) == ControlHeader(kind: .ping, length: 8))
    }

    @Test(
        arguments: [
            (0, 0, "control kind 0 came, 1 to 4 was due"),
            (0, 5, "control kind 5 came, 1 to 4 was due"),
            (0, 0x101, "reserved bytes 0x1 came, zero was due"),
            ((16 << 20) + 1, 1, "a message of 16777217 bytes came, 0 to 16777216 were due"),
            (9, 2, "a ping of 9 bytes came, 8 were due"),
            (8, 3, "a pong of 8 bytes came, 24 were due"),
            (1025, 4, "a goodbye of 1025 bytes came, 0 to 1024 were due"),
        ] as [(UInt32, UInt32, String)])
    func `a bad control header is told with what was due`(length: UInt32, rest: UInt32, text: String) {
        #expect { try ControlHeader(length: length, rest: rest) } throws: { "\($0)" == text }
    }

    @Test func `messages of every size arrive in order both ways`() throws {
        let (alpha, beta) = try pair()
        let sizes = [0, 1, 7, 100, 65_536, 300_000, 16 << 20, 3]
        for size in sizes {
            try alpha.control.send(texture(size, seed: size))
            try beta.control.send([UInt8(truncatingIfNeeded: size)])
        }
        for size in sizes {
            #expect(try beta.message() == texture(size, seed: size))
            #expect(try alpha.message() == [UInt8(truncatingIfNeeded: size)])
        }
        alpha.control.close("done")
        #expect(try alpha.end() == .here)
        #expect(try beta.end() == .goodbye("done"))
        #expect(throws: WireError.closed(peer: alpha.control.connection.peer)) { try alpha.control.send([1]) }
        #expect(throws: WireError.complaint(peer: beta.control.connection.peer, "done")) { try beta.control.send([1]) }
    }

    @Test func `a message beyond the limit is refused before it is sent`() throws {
        let (alpha, beta) = try pair()
        #expect(throws: WireError.self) { try alpha.control.send([UInt8](repeating: 0, count: (16 << 20) + 1)) }
        alpha.control.close("")
        _ = try beta.end()
    }

    @Test func `everything sent before a goodbye arrives`() throws {
        let (alpha, beta) = try pair()
        for number in 0..<40 { try alpha.control.send([UInt8](repeating: UInt8(number), count: 1 << 20)) }
        alpha.control.close("bye")
        for number in 0..<40 { #expect(try beta.message().first == UInt8(number)) }
        #expect(try beta.end() == .goodbye("bye"))
    }

    @Test func `clocks of one host compare as equal within the round trip`() throws {
        let (alpha, beta) = try pair()
        let comparison = alpha.control.compareClocks(pings: 10)
        let best = try #require(comparison.best)
        #expect(best.roundTrip > .zero && best.roundTrip < .seconds(1))
        #expect(best.peerAhead < best.roundTrip && best.peerAhead > .zero - best.roundTrip)
        let now = MonotonicInstant.now
        let local = try #require(comparison.local(now))
        #expect((local - now) < best.roundTrip && (now - local) < best.roundTrip)
        alpha.control.close("")
        _ = try beta.end()
    }

    @Test func `a peer that dies without a word is noticed`() throws {
        let (alpha, beta) = try pair()
        beta.control.connection.close()
        guard case .failed(.lost) = try alpha.end() else {
            Issue.record("not lost")
            return
        }
    }

    @Test func `a peer that says nothing any more counts as gone`() throws {
        var options = ConnectionOptions()
        options.keepAlive = .milliseconds(100)
        let hosts = try TwoHosts()
        let (dialled, accepted) = try meet(client: hosts.alpha, server: hosts.beta, options: options).both()
        let alpha = Party(dialled)  // and nobody takes over the other end
        guard case .failed(.silent(_, let seconds)) = try alpha.end() else {
            Issue.record("not silent")
            return
        }
        #expect(seconds >= 0.3)
        accepted.close()
    }

    @Test(.tags(.slow)) func `pings keep an idle connection alive`() throws {
        var options = ConnectionOptions()
        options.keepAlive = .milliseconds(700)
        let (alpha, beta) = try pair(options)
        #expect(alpha.ends.next(deadline: .now + .milliseconds(3500)) == nil)
        #expect(beta.ends.next(deadline: .now) == nil)
        alpha.control.close("")
        _ = try beta.end()
    }

    @Test func `nonsense ends the connection with words on both sides`() throws {
        let (alpha, beta) = try pair()
        alpha.control.connection.sendRaw([1, 2, 3, 4, 99, 0, 0, 0])
        #expect(
            try beta.end()
                == .failed(.protocolViolation(peer: beta.control.connection.peer, "control kind 99 came, 1 to 4 was due")))
        #expect(try alpha.end() == .goodbye("protocol violation: control kind 99 came, 1 to 4 was due"))
    }

    @Test(arguments: 0..<10) func `random bytes never crash a control connection`(seed: UInt64) throws {
        let (alpha, beta) = try pair()
        var seeded = Seeded(seed)
        var bytes = seeded.noise(200)
        bytes[3] = 0
        bytes[2] = 0
        alpha.control.connection.sendRaw(bytes)
        alpha.control.close("")
        _ = try beta.end()
    }
}

@Suite struct ClockComparisonTests {
    @Test func `the quickest ping is believed`() {
        var clock = ClockComparison()
        clock.add(sent: 0, received: 1_000_500, answered: 1_000_600, back: 1_100)  // 1000 both ways, 1 ms ahead
        clock.add(sent: 10_000, received: 1_010_100, answered: 1_010_100, back: 10_200)  // 200 both ways
        clock.add(sent: 20_000, received: 1_029_000, answered: 1_029_000, back: 30_000)
        #expect(clock.best == .init(roundTrip: .nanoseconds(200), peerAhead: .nanoseconds(1_000_000)))
        #expect(clock.local(MonotonicInstant(nanoseconds: 1_500_000)) == MonotonicInstant(nanoseconds: 500_000))
    }

    @Test func `times of a mad clock are dropped`() {
        var clock = ClockComparison()
        clock.add(sent: 100, received: 0, answered: 0, back: 50)
        clock.add(sent: 0, received: 500, answered: 400, back: 100)
        clock.add(sent: 0, received: 0, answered: 500, back: 100)
        clock.add(sent: 0, received: .max, answered: .max, back: 1)
        clock.add(sent: .min, received: .max, answered: .min, back: .max)
        #expect(clock.best == nil)
        #expect(clock.local(.now) == nil)
    }

    @Test func `old samples are forgotten`() {
        var clock = ClockComparison()
        clock.add(sent: 0, received: 1, answered: 1, back: 2)
        for _ in 0..<16 { clock.add(sent: 0, received: 50, answered: 50, back: 100) }
        #expect(clock.best?.roundTrip == .nanoseconds(100))
    }
}
