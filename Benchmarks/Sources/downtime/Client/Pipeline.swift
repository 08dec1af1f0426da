import Glibc

/// Many commands over one connection, for filling and verifying, when nothing is being measured.
struct Pipeline {
    private let connection: Connection
    private static let patience = 60_000 * millisecond

    init(_ address: sockaddr_in) throws {
        let deadline = now() + Self.patience
        var made = try Connection(to: address)
        while !made.isConnected {
            guard now() < deadline else { throw Failure("redis does not answer") }
            do { try made.advance() } catch {
                sleep(until: now() + 10 * millisecond)
                made = try Connection(to: address)
            }
        }
        connection = made
    }

    /// Sends `bytes`, which hold `replies` commands, and returns their replies.
    func exchange(_ bytes: [UInt8], replies: Int) throws -> [[UInt8]] {
        connection.queue(bytes)
        var answers: [[UInt8]] = []
        let deadline = now() + Self.patience
        while answers.count < replies {
            try connection.advance()
            while let reply = try connection.nextReply() { answers.append(reply) }
            if answers.count == replies { break }
            guard now() < deadline else { throw Failure("redis does not answer") }
            var wait = pollfd(fd: connection.socket, events: connection.events, revents: 0)
            poll(&wait, 1, 1000)
        }
        return answers
    }
}

extension Writer {
    /// Puts a first value under every key, so that the container's size doesn't change while it is measured.
    func prepare() throws {
        let pipeline = try Pipeline(address)
        for first in stride(from: 0, to: keys, by: 256) {
            let numbers = first..<min(first + 256, keys)
            _ = try pipeline.exchange(numbers.flatMap { command(Self.set, key($0), Self.value($0)) }, replies: numbers.count)
        }
    }

    /// How many keys hold less than what was acknowledged, or something that was never written.
    func lostWrites(acknowledged: Int) throws -> Int {
        let pipeline = try Pipeline(address)
        var lost = 0
        let get = Array("GET".utf8)
        for first in stride(from: 0, to: keys, by: 2048) {
            let slots = first..<min(first + 2048, keys)
            let values = try pipeline.exchange(slots.flatMap { command(get, key($0)) }, replies: slots.count)
            for (slot, value) in zip(slots, values) where !holds(value, slot, acknowledged) { lost += 1 }
        }
        return lost
    }

    private func holds(_ value: [UInt8], _ slot: Int, _ acknowledged: Int) -> Bool {
        guard let number = Int(String(decoding: value.prefix(16), as: UTF8.self)), number % keys == slot else { return false }
        // The last acknowledged number of this slot; none: what `prepare` wrote.
        let due = acknowledged > slot ? slot + (acknowledged - 1 - slot) / keys * keys : slot
        return number >= due && value == Self.value(number)
    }

    /// Takes all of our keys away again, so that the digest speaks of the other data only.
    func removeKeys() throws {
        let pipeline = try Pipeline(address)
        let remove = Array("DEL".utf8)
        for first in stride(from: 0, to: keys, by: 2048) {
            let slots = first..<min(first + 2048, keys)
            _ = try pipeline.exchange(slots.flatMap { command(remove, key($0)) }, replies: slots.count)
        }
    }
}
