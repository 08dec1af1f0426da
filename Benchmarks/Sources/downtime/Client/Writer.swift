import Glibc
import Synchronization

/// Writes numbered values over a ring of keys at a steady rate, and can prove afterwards that no acknowledged one is missing.
///
/// Write number n goes to key n mod `keys` and says n in itself. A batch whose acknowledgement was lost is sent again unchanged, so a
/// late first copy does no harm. Afterwards each key must hold at least the number that was acknowledged last.
struct Writer {
    struct Outcome: Sendable {
        var acknowledged = 0
        var reconnects = 0
        var longestGapMS = 0.0
        /// Acknowledged writes a window, the first beginning at `start`.
        var windows: [Int] = []
        var lost = 0
        var refusal: String?
        /// Of a batch of 16 writes.
        var latencies = Latencies(pace: millisecond)
    }

    var address: sockaddr_in
    var keys: Int
    /// Writes a second.
    var rate: Int
    var start: Int64
    var stop: StopSign
    var poller: Poller

    static let set = Array("SET".utf8)
    static let valueSize = 1000
    static let batch = 16
    /// How finely acknowledged writes are counted.
    var window = 50 * millisecond
    /// The service answers others but not us for this long: our connection didn't survive.
    var patience = 100 * millisecond

    func run() -> Outcome {
        var outcome = Outcome()
        outcome.latencies.pace = Int64(Self.batch) * 1_000_000_000 / Int64(rate)
        var next = 0
        var due = now()
        var connection: Connection?
        var last = now()
        while !stop.isSet {
            sleep(until: due)
            let pace = Int64(Self.batch) * 1_000_000_000 / Int64(rate)
            let asked = now()
            // Not faster afterwards than before: what a stall swallowed is not made up for.
            due = max(due + pace, now())
            let bytes = (next..<next + Self.batch).flatMap { command(Self.set, key($0), Self.value($0)) }
            while !stop.isSet {
                guard let open = connection else {
                    connection = connect()
                    if connection != nil { outcome.reconnects += 1 }
                    continue
                }
                do {
                    try exchange(open, bytes)
                    break
                } catch Connection.Failure.refused(let words) {
                    outcome.refusal = words
                    return outcome
                } catch {
                    connection = nil
                }
            }
            guard !stop.isSet else { break }
            let at = now()
            outcome.latencies.add(at: asked, took: at - asked)
            outcome.longestGapMS = max(outcome.longestGapMS, milliseconds(at - last))
            last = at
            next += Self.batch
            count(Self.batch, at, &outcome)
        }
        // What is still silent at the end.
        outcome.longestGapMS = max(outcome.longestGapMS, milliseconds(now() - last))
        outcome.reconnects = max(outcome.reconnects - 1, 0)
        outcome.acknowledged = next
        return outcome
    }

    private func count(_ writes: Int, _ at: Int64, _ outcome: inout Outcome) {
        let index = Int((at - start) / window)
        while outcome.windows.count <= index { outcome.windows.append(0) }
        outcome.windows[index] += writes
    }

    /// Sends a batch and waits for all its acknowledgements.
    private func exchange(_ connection: Connection, _ bytes: [UInt8]) throws(Connection.Failure) {
        connection.queue(bytes)
        let sent = now()
        var missing = Self.batch
        var othersSince: Int64?
        while missing > 0 {
            try connection.advance()
            while missing > 0, try connection.nextReply() != nil { missing -= 1 }
            if missing == 0 { break }
            // Not from when we asked: that may be long ago when the service comes back.
            if othersSince == nil, poller.lastReply.load(ordering: .relaxed) > sent { othersSince = now() }
            if stop.isSet { throw .closed }
            if let othersSince, now() - othersSince > patience { throw .closed }
            var wait = pollfd(fd: connection.socket, events: connection.events, revents: 0)
            poll(&wait, 1, 20)
        }
    }

    /// One attempt, of a third of the patience at most.
    private func connect() -> Connection? {
        guard let connection = try? Connection(to: address) else {
            sleep(until: now() + millisecond)
            return nil
        }
        let deadline = now() + patience * 3 / 10
        while now() < deadline {
            guard (try? connection.advance()) != nil else {
                sleep(until: now() + millisecond)
                return nil
            }
            if connection.isConnected { return connection }
            var wait = pollfd(fd: connection.socket, events: Int16(POLLOUT), revents: 0)
            poll(&wait, 1, 5)
        }
        return nil
    }

    func key(_ number: Int) -> [UInt8] { Array("bench:\(number % keys)".utf8) }

    /// The number in 16 digits, then bytes that follow from it and don't compress.
    static func value(_ number: Int) -> [UInt8] {
        let digits = String(number)
        var bytes = Array(String(repeating: "0", count: 16 - digits.utf8.count).utf8) + Array(digits.utf8)
        bytes.reserveCapacity(valueSize + 8)
        fillRandomly(&bytes, seed: UInt64(number), to: valueSize)
        return bytes
    }
}

/// splitmix64: appends pseudo-random bytes until there are `count`.
func fillRandomly(_ bytes: inout [UInt8], seed: UInt64, to count: Int) {
    var state = seed &* 0x2545_F491_4F6C_DD1D
    while bytes.count < count {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        withUnsafeBytes(of: z) { bytes.append(contentsOf: $0) }
    }
    bytes.removeLast(bytes.count - count)
}
