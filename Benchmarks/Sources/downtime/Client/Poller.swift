import Glibc
import Synchronization

/// Asks the service's cheapest question (redis: PING) every millisecond and notes how long it went without a reply: the downtime as a client sees it.
///
/// When a reply is late it also tries new connections, one every three milliseconds, and takes the first that answers. So the gap
/// ends when the *service* is back, whatever became of the old connection: TCP's back-off (a segment that was lost in a blackout
/// of 0.7 s is repeated only after 1.4 s) would otherwise hide the differences between the ways.
final class Poller: Sendable {
    struct Gap: Codable, Sendable {
        /// Of the last reply before it, ns of `now()`.
        var start: Int64
        var milliseconds: Double
    }

    struct Outcome: Sendable {
        var replies = 0
        var reconnects = 0
        var longest = Gap(start: 0, milliseconds: 0)
        /// All gaps of at least 10 ms.
        var gaps: [Gap] = []
        var latencies = Latencies(pace: millisecond)
        /// Of a service that counts its work in its replies ("ok NUMBER"): what it said, and when.
        var counts: [(at: Int64, number: Int)] = []
        var problem: String?
    }

    private let address: sockaddr_in
    private let dialect: Dialect
    private let stop: StopSign
    /// When the last reply came, for the writer: the service answers.
    let lastReply = Atomic<Int64>(0)

    /// A reply that takes longer is late; on a long link, one that takes twice as long as usual.
    private static let late = 10 * millisecond
    private static let mostUsual = 100 * millisecond

    init(address: sockaddr_in, _ dialect: Dialect = .redis, stop: StopSign) {
        self.address = address
        self.dialect = dialect
        self.stop = stop
    }

    func run() -> Outcome {
        var outcome = Outcome()
        var line = Line(dialect)
        var tick = now()
        var asked: Int64?
        var usual: Int64 = 0
        while !stop.isSet {
            if asked == nil, now() >= tick { asked = now() }
            if let reply = line.step(address, mayAsk: now() >= tick) {
                outcome.latencies.add(at: asked ?? reply, took: reply - (asked ?? reply))
                usual += (min(reply - (asked ?? reply), Self.mostUsual) - usual) / 8
                line.late = max(Self.late, 2 * usual)
                asked = nil
                note(reply, &outcome, &line)
            }
            // A reply ends the wait early; the next question waits for its tick all the same.
            let at = now()
            if tick <= at { tick = max(tick + millisecond, at) }
            line.wait(until: tick)
        }
        return outcome
    }

    private func note(_ at: Int64, _ outcome: inout Outcome, _ line: inout Line) {
        let last = lastReply.exchange(at, ordering: .relaxed)
        outcome.replies += 1
        outcome.reconnects = line.reconnects
        if dialect == .line { count(at, line.content, &outcome) }
        guard last != 0 else { return }
        let gap = Gap(start: last, milliseconds: milliseconds(at - last))
        if gap.milliseconds >= 10 { outcome.gaps.append(gap) }
        if gap.milliseconds > outcome.longest.milliseconds { outcome.longest = gap }
    }

    private func count(_ at: Int64, _ content: [UInt8], _ outcome: inout Outcome) {
        let words = String(decoding: content, as: UTF8.self).split(separator: " ")
        if words.first == "ok", let number = words.dropFirst().first.flatMap({ Int($0) }) {
            outcome.counts.append((at, number))
        } else {
            outcome.problem = outcome.problem ?? words.joined(separator: " ")
        }
    }

    /// The connection in use and those that try to take its place.
    private struct Line {
        private var current: Probe?
        private var probes: [Probe] = []
        private var lastProbe: Int64 = 0
        private(set) var reconnects = -1
        /// Of the last reply.
        private(set) var content: [UInt8] = []
        /// ns without a reply, before new connections are tried.
        var late = Poller.late
        private let dialect: Dialect

        init(_ dialect: Dialect) { self.dialect = dialect }

        /// A connection with its question.
        private final class Probe {
            let connection: Connection
            var askedAt: Int64?
            private let dialect: Dialect
            private var greetings: Int

            init(_ address: sockaddr_in, _ dialect: Dialect) throws {
                connection = try Connection(to: address, dialect)
                self.dialect = dialect
                greetings = dialect.greetingReplies
            }

            func ask() {
                connection.queue(dialect.question)
                askedAt = now()
            }

            /// The answer, if it has come.
            func step() throws -> [UInt8]? {
                try connection.advance()
                while let reply = try connection.nextReply() {
                    greetings -= 1
                    if greetings >= 0 { continue }
                    askedAt = nil
                    return reply
                }
                return nil
            }
        }

        /// Asks what is to be asked; returns when a reply came, if one did.
        mutating func step(_ address: sockaddr_in, mayAsk: Bool) -> Int64? {
            if let current, current.askedAt == nil, !mayAsk { return nil }
            if let reply = stepCurrent() { return reply }
            if let asked = current?.askedAt, now() - asked < late { return nil }
            addProbe(address)
            return stepProbes()
        }

        private mutating func stepCurrent() -> Int64? {
            guard let probe = current else { return nil }
            do {
                if probe.askedAt == nil { probe.ask() }
                guard let reply = try probe.step() else { return nil }
                content = reply
                return now()
            } catch {
                current = nil
                return nil
            }
        }

        private mutating func addProbe(_ address: sockaddr_in) {
            let (most, every) = dialect.probing
            guard now() - lastProbe >= every else { return }
            lastProbe = now()
            // Older ones are given up: their SYN was lost, and a new one is quicker than its repetition.
            if probes.count >= most { probes.removeFirst() }
            guard let probe = try? Probe(address, dialect) else { return }
            probe.ask()
            probes.append(probe)
        }

        private mutating func stepProbes() -> Int64? {
            var kept: [Probe] = []
            for probe in probes {
                do {
                    if let reply = try probe.step() {
                        content = reply
                        current = probe
                        probes = []
                        reconnects += 1
                        return now()
                    }
                    kept.append(probe)
                } catch { continue }
            }
            probes = kept
            return nil
        }

        /// Until the deadline, or until a reply that is due comes: a client that looks only every millisecond would add one.
        func wait(until deadline: Int64) {
            var waits = probes.map { pollfd(fd: $0.connection.socket, events: $0.connection.events, revents: 0) }
            if let current, current.askedAt != nil {
                waits.append(pollfd(fd: current.connection.socket, events: current.connection.events, revents: 0))
            }
            guard !waits.isEmpty else { return sleep(until: deadline) }
            if deadline > now() { poll(&waits, nfds_t(waits.count), 1) }
        }
    }
}

/// Tells threads to end.
final class StopSign: Sendable {
    private let flag = Atomic<Bool>(false)
    var isSet: Bool { flag.load(ordering: .relaxed) }
    func set() { flag.store(true, ordering: .relaxed) }
}
