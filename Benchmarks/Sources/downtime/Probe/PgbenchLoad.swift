import Glibc

/// pgbench's own transactions, eight clients; what they did is read from its log. It ends in good order by the signal of its own timer.
struct PgbenchLoad: Load {
    var host: String
    var start: Int64
    var stop: StopSign

    private static let log = "/tmp/bench-pgbench"

    func prepare() throws {}

    func run() -> LoadOutcome {
        var outcome = LoadOutcome(latencies: Latencies(pace: 1000 * millisecond))
        // The log has the time of day.
        let offset = timeOfDay() - now()
        do {
            let command =
                "exec pgbench -n -h \(host) -U postgres -c 8 -j 2 -T 3600 -l --log-prefix=\(Self.log) postgres >\(Self.log).out 2>&1"
            let pgbench = try Process(["sh", "-c", "rm -f \(Self.log).*; " + command])
            while !stop.isSet { sleep(until: now() + 20 * millisecond) }
            kill(pgbench.pid, SIGALRM)
            let status = pgbench.wait()
            let words = String(decoding: try readFile("\(Self.log).out"), as: UTF8.self)
            if status != 0 || words.contains("aborted") || words.contains("error:") {
                outcome.problem = "pgbench: " + words.split(separator: "\n").prefix(3).joined(separator: "; ")
            }
            for thread in ["\(pgbench.pid)", "\(pgbench.pid).1"] { try read("\(Self.log).\(thread)", offset, &outcome) }
        } catch { outcome.problem = "\(error)" }
        _ = try? Process(["sh", "-c", "rm -f \(Self.log).*"]).wait()
        return outcome
    }

    /// Lines of client, transaction, µs, script, and when it ended: seconds and µs.
    private func read(_ path: String, _ offset: Int64, _ outcome: inout LoadOutcome) throws {
        var last: Int64 = 0
        for line in String(decoding: try readFile(path), as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ").compactMap { Int64($0) }
            guard words.count >= 6 else { continue }
            let end = words[4] * 1_000_000_000 + words[5] * 1000 - offset
            outcome.latencies.add(at: end - words[2] * 1000, took: words[2] * 1000)
            outcome.count(1, at: end, start: start)
            if last > 0 { outcome.longestGapMS = max(outcome.longestGapMS, milliseconds(end - last)) }
            last = max(last, end)
        }
    }

    private func timeOfDay() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    func verify(_ outcome: LoadOutcome) throws -> Int { 0 }
}
