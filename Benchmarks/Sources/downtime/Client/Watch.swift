import FoundationEssentials
import Glibc
import Synchronization

/// What the client in its host reports when it is told to stop.
struct Observation: Codable, Sendable {
    var replies: Int
    var reconnects: Int
    /// The longest time without a reply, and when it began.
    var longestGap: Poller.Gap
    /// All gaps of at least 10 ms.
    var gaps: [Poller.Gap]
    var writes: Int
    /// Acknowledged writes that are missing afterwards.
    var lost: Int
    var writerReconnects: Int
    var writerLongestGapMS: Double
    /// When the first window began, ns of `now()`.
    var start: Int64
    var windowMS: Double
    /// Acknowledged writes in each window.
    var windows: [Int]
    var problem: String?
}

/// `downtime watch ADDRESS PORT RATE KEYS [WINDOW]`: the client, which counts writes in windows of so many ms (50). Says "watching", works until its input ends, verifies, prints its observation.
enum Watch {
    /// What the two threads leave behind; each holds its lock until it ends.
    private final class Outcomes: Sendable {
        let polled = Mutex(Poller.Outcome())
        let written = Mutex(Writer.Outcome())
    }

    static func run(_ arguments: [String]) throws {
        guard (4...5).contains(arguments.count), let port = UInt16(arguments[1]), let rate = Int(arguments[2]),
            let keys = Int(arguments[3]), let window = arguments.count == 5 ? Int64(arguments[4]) : 50, window > 0
        else {
            throw Failure("usage: downtime watch ADDRESS PORT RATE KEYS [WINDOW] (RATE 0: no writer)")
        }
        let address = try socketAddress(arguments[0], port)
        let stop = StopSign()
        let poller = Poller(address: address, stop: stop)
        var writer = Writer(address: address, keys: max(keys, 1), rate: max(rate, 1), start: now(), stop: stop, poller: poller)
        writer.window = window * millisecond
        if rate > 0 { try writer.prepare() }

        let outcomes = Outcomes()
        let polling = Thread { outcomes.polled.withLock { $0 = poller.run() } }
        let writing = rate > 0 ? Thread { [writer] in outcomes.written.withLock { $0 = writer.run() } } : nil
        say("watching")
        var byte: UInt8 = 0
        while read(0, &byte, 1) > 0 {}
        stop.set()
        polling.join()
        writing?.join()
        let polled = outcomes.polled.withLock { $0 }
        let written = outcomes.written.withLock { $0 }
        var lost = 0
        if rate > 0 {
            lost = try writer.lostWrites(acknowledged: written.acknowledged)
            try writer.removeKeys()
        }
        let observation = Observation(
            replies: polled.replies, reconnects: polled.reconnects, longestGap: polled.longest, gaps: polled.gaps,
            writes: written.acknowledged, lost: lost, writerReconnects: written.reconnects,
            writerLongestGapMS: written.longestGapMS, start: writer.start, windowMS: milliseconds(writer.window),
            windows: written.windows, problem: written.refusal)
        say(String(decoding: try JSONEncoder().encode(observation), as: UTF8.self))
    }
}

/// `downtime fill ADDRESS PORT BYTES`: about so much data that doesn't compress. 4000 bytes and redis's header fill a 4096-byte slot.
enum Fill {
    static func run(_ arguments: [String]) throws {
        guard arguments.count == 3, let port = UInt16(arguments[1]), let bytes = Int(arguments[2]) else {
            throw Failure("usage: downtime fill ADDRESS PORT BYTES")
        }
        let pipeline = try Pipeline(try socketAddress(arguments[0], port))
        let total = max(1, bytes / 4096)
        for first in stride(from: 0, to: total, by: 64) {
            let numbers = first..<min(first + 64, total)
            var text: [UInt8] = []
            for number in numbers {
                var value: [UInt8] = []
                value.reserveCapacity(4008)
                fillRandomly(&value, seed: UInt64(number) &+ 1 << 40, to: 4000)
                text += command(Writer.set, Array("key:\(number)".utf8), value)
            }
            _ = try pipeline.exchange(text, replies: numbers.count)
        }
    }
}

func say(_ line: String, to descriptor: Int32 = 1) {
    let bytes = Array((line + "\n").utf8)
    var sent = 0
    while sent < bytes.count {
        let n = bytes[sent...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if n <= 0 { return }
        sent += n
    }
}
