import FoundationEssentials
import Glibc
import Synchronization

/// What the client in its host saw of a move.
struct Sight: Codable, Sendable {
    var replies: Int
    var reconnects: Int
    /// All times of at least 10 ms without a reply of the service.
    var gaps: [Poller.Gap]
    /// When the first window began, ns of `now()`.
    var start: Int64
    var windowMS: Double
    /// Operations of the load in each window; of a program that counts its own work, that.
    var windows: [Int]
    /// 99th percentile of the questions due in each window, ms.
    var latency: [Double]
    /// Of the question asked every millisecond.
    var before: Latencies.Summary?
    var during: Latencies.Summary?
    var after: Latencies.Summary?
    /// Of the load's own operations.
    var loadBefore: Latencies.Summary?
    var loadDuring: Latencies.Summary?
    var loadAfter: Latencies.Summary?
    var loadReconnects: Int
    var loadLongestGapMS: Double
    var operations: Int
    var lost: Int
    var problem: String?
}

/// `downtime probe DIALECT ADDRESS PORT LOAD`: says "watching"; ends at a line "START END" (ns of `now()`, the migration) and prints its sight.
///
/// LOAD is none, redis:RATE:KEYS, http:RATE or pgbench.
enum Probe {
    static let window = 50 * millisecond
    /// What counts as before and after the migration.
    static let margin = (before: 2000 * millisecond, after: 3000 * millisecond)

    private final class Outcomes: Sendable {
        let polled = Mutex(Poller.Outcome())
        let loaded = Mutex(LoadOutcome())
    }

    static func run(_ words: [String]) throws {
        guard words.count == 4, let dialect = Dialect(rawValue: words[0]), let port = UInt16(words[2]) else {
            throw Failure("usage: downtime probe redis|http|postgres|line ADDRESS PORT LOAD")
        }
        let address = try socketAddress(words[1], port), stop = StopSign(), start = now()
        let poller = Poller(address: address, dialect, stop: stop)
        let load = try load(words[3], host: words[1], address, start, stop, poller)
        try load?.prepare()
        let outcomes = Outcomes()
        let polling = Thread { outcomes.polled.withLock { $0 = poller.run() } }
        let loading = load.map { load in Thread { outcomes.loaded.withLock { $0 = load.run() } } }
        say("watching")
        let period = readLine().map { $0.split(separator: " ").compactMap { Int64($0) } } ?? []
        stop.set()
        polling.join()
        loading?.join()
        let polled = outcomes.polled.withLock { $0 }, loaded = outcomes.loaded.withLock { $0 }
        let lost = try load?.verify(loaded) ?? 0
        let sight = sight(polled, loaded, lost, start, period.count == 2 ? (period[0], period[1]) : (now(), now()))
        say(String(decoding: try JSONEncoder().encode(sight), as: UTF8.self))
    }

    private static func load(
        _ word: String, host: String, _ address: sockaddr_in, _ start: Int64, _ stop: StopSign, _ poller: Poller
    ) throws -> (any Load)? {
        let parts = word.split(separator: ":").map(String.init)
        let numbers = parts.dropFirst().compactMap { Int($0) }
        switch (parts.first, numbers.count) {
        case ("none", 0): return nil
        case ("redis", 2):
            let writer = Writer(
                address: address, keys: numbers[1], rate: numbers[0], start: start, stop: stop, poller: poller,
                patience: 1000 * millisecond)
            return RedisLoad(writer: writer)
        case ("http", 1): return HTTPLoad(address: address, rate: numbers[0], start: start, stop: stop, poller: poller)
        case ("pgbench", 0): return PgbenchLoad(host: host, start: start, stop: stop)
        default: throw Failure("'\(word)' is no load")
        }
    }

    private static func sight(
        _ polled: Poller.Outcome, _ loaded: LoadOutcome, _ lost: Int, _ start: Int64, _ moved: (start: Int64, end: Int64)
    ) -> Sight {
        let (before, after) = (moved.start - margin.before, moved.end + margin.after)
        func three(_ all: Latencies) -> [Latencies.Summary?] {
            [
                all.summary(from: before, to: moved.start), all.summary(from: moved.start, to: moved.end),
                all.summary(from: moved.end, to: after),
            ]
        }
        let asked = three(polled.latencies), worked = three(loaded.latencies)
        return Sight(
            replies: polled.replies, reconnects: polled.reconnects, gaps: polled.gaps, start: start,
            windowMS: milliseconds(window), windows: polled.counts.isEmpty ? loaded.windows : work(polled.counts, start),
            latency: polled.latencies.windows(window, from: start, to: after), before: asked[0], during: asked[1],
            after: asked[2], loadBefore: worked[0], loadDuring: worked[1], loadAfter: worked[2],
            loadReconnects: loaded.reconnects, loadLongestGapMS: loaded.longestGapMS, operations: loaded.operations, lost: lost,
            problem: loaded.problem ?? polled.problem)
    }

    /// What a program that counts its work did in each window.
    private static func work(_ counts: [(at: Int64, number: Int)], _ start: Int64) -> [Int] {
        var windows: [Int] = []
        for (earlier, later) in zip(counts, counts.dropFirst()) {
            let index = max(0, Int((later.at - start) / window))
            while windows.count <= index { windows.append(0) }
            windows[index] += later.number - earlier.number
        }
        return windows
    }
}
