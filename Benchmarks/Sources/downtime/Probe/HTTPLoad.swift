import Glibc
import Synchronization

/// Requests over many connections that stay open: one on each, all at once, at a steady pace. So every worker of a server has something to do.
struct HTTPLoad: Load {
    var address: sockaddr_in
    var connections = 64
    /// Requests a second.
    var rate: Int
    var start: Int64
    var stop: StopSign
    var poller: Poller

    /// The service answers others but not us for this long: the connection didn't survive.
    private static let patience = 1000 * millisecond

    func prepare() throws {}

    func run() -> LoadOutcome {
        var outcome = LoadOutcome()
        let pace = Int64(connections) * 1_000_000_000 / Int64(rate)
        outcome.latencies.pace = pace
        var open: [Connection?] = Array(repeating: nil, count: connections)
        var due = now(), last = now()
        while !stop.isSet {
            sleep(until: due)
            due = max(due + pace, now())
            let asked = now()
            for index in open.indices {
                if open[index] == nil { open[index] = try? Connection(to: address, .http) }
                open[index]?.queue(Dialect.http.question)
            }
            let answered = collect(&open, asked, &outcome)
            let at = now()
            outcome.latencies.add(at: asked, took: at - asked)
            outcome.count(answered, at: at, start: start)
            if answered > 0 {
                outcome.longestGapMS = max(outcome.longestGapMS, milliseconds(at - last))
                last = at
            }
        }
        outcome.longestGapMS = max(outcome.longestGapMS, milliseconds(now() - last))
        return outcome
    }

    /// Waits for one answer on each connection; those that break, or stay silent while others are answered, are opened again next time.
    private func collect(_ open: inout [Connection?], _ asked: Int64, _ outcome: inout LoadOutcome) -> Int {
        var answered = 0
        var othersSince: Int64?
        var waiting = open.indices.filter { open[$0] != nil }
        while !waiting.isEmpty, !stop.isSet {
            waiting.removeAll { index in
                do {
                    try open[index]?.advance()
                    guard try open[index]?.nextReply() != nil else { return false }
                    answered += 1
                } catch {
                    open[index] = nil
                    outcome.reconnects += 1
                }
                return true
            }
            guard !waiting.isEmpty else { break }
            if othersSince == nil, poller.lastReply.load(ordering: .relaxed) > asked { othersSince = now() }
            if let othersSince, now() - othersSince > Self.patience {
                for index in waiting { open[index] = nil }
                outcome.reconnects += waiting.count
                break
            }
            var waits = waiting.map { pollfd(fd: open[$0]?.socket ?? -1, events: open[$0]?.events ?? 0, revents: 0) }
            poll(&waits, nfds_t(waits.count), 20)
        }
        return answered
    }

    func verify(_ outcome: LoadOutcome) throws -> Int { 0 }
}
