import FoundationEssentials

/// One trial from a fresh redis to a clean lab.
struct Measurement {
    var lab: Lab
    var options: Options
    var way: any Way.Type
    var size: Double
    var underWriter: Bool
    var run: Int

    private static let before: Int64 = 2000 * millisecond
    private static let after: Int64 = 3000 * millisecond

    func record() -> Record {
        var record = Record(way: way.name, size: size, underWriter: underWriter, run: run, load: Machine.load)
        do {
            let bytes = Int(size * Double(1 << 30))
            // Images twice, or the store, beside the container itself; the source's images are removed early where that is short.
            guard Machine.availableMemory > 2 * bytes + 3 << 29 else { throw Failure("too little memory for \(size) GB here") }
            let trial = try Trial(lab: lab, bytes: bytes, martletOptions: options.martletOptions)
            do { try measure(trial, &record) } catch {
                record.problem = "\(error)"
            }
            try ByHand.cleanUp(trial)
        } catch {
            record.problem = record.problem ?? "\(error)"
        }
        return record
    }

    private func measure(_ trial: Trial, _ record: inout Record) throws {
        try ByHand.cleanUp(trial)
        try lab.call("redis", "alpha", "--ip", trial.address, trial.id)
        try lab.call("in", "client", "downtime", "fill", trial.address, "\(trial.port)", "\(trial.bytes)")
        let digest = try digest(trial)
        try way.prepare(trial)

        let client = try Process([
            lab.script("in"), "client", "downtime", "watch", trial.address, "\(trial.port)",
            underWriter ? "\(options.writeRate)" : "0", "\(keys(trial.bytes))",
        ])
        guard try client.readLine(until: now() + 60_000 * millisecond) == "watching" else {
            throw Failure("the client did not start")
        }
        sleep(until: now() + Self.before + 200 * millisecond)
        let sentBefore = try bytesSent(trial)
        let moved: Moved
        do {
            moved = try way.migrate(trial)
        } catch {
            client.endInput()
            _ = client.wait()
            throw error
        }
        record.bytesSent = try bytesSent(trial) - sentBefore
        sleep(until: now() + Self.after)
        client.endInput()
        guard let line = try client.readLine(until: now() + 300_000 * millisecond) else {
            throw Failure("the client ended without a word")
        }
        _ = client.wait()
        let observation = try JSONDecoder().decode(Observation.self, from: Data(line.utf8))
        note(moved, observation, &record)
        record.sameDigest = try self.digest(trial) == digest
        guard try trial.destination.run("runc state \(trial.id)").contains("\"running\"") else {
            throw Failure("the container does not run on the destination")
        }
    }

    private func note(_ moved: Moved, _ seen: Observation, _ record: inout Record) {
        record.steps = moved.steps
        record.details = moved.details
        record.totalMS = moved.totalMS
        record.reportedDowntimeMS = moved.reportedDowntimeMS
        record.rounds = moved.rounds
        record.method = moved.method
        // What came before the migration is the machine's own noise.
        let gaps = seen.gaps.filter { $0.start + Int64($0.milliseconds * 1e6) >= moved.start }
        record.downtimeMS = gaps.map(\.milliseconds).max() ?? seen.longestGap.milliseconds
        record.gaps = gaps.map { Record.Gap(at: milliseconds($0.start - moved.start), milliseconds: $0.milliseconds) }
        record.reconnects = seen.reconnects
        record.lostWrites = seen.lost
        record.problem = seen.problem
        guard underWriter else { return }
        record.writes = seen.writes
        func rate(_ from: Int64, _ to: Int64) -> Double {
            let window = Int64(seen.windowMS * 1e6)
            let first = Int((from - seen.start) / window), last = Int((to - seen.start) / window)
            let part = seen.windows.indices.filter { (first..<max(last, first + 1)).contains($0) }.map { seen.windows[$0] }
            return Double(part.reduce(0, +)) / (Double(max(last - first, 1)) * seen.windowMS / 1000)
        }
        record.throughputBefore = rate(moved.start - Self.before, moved.start)
        record.throughputDuring = rate(moved.start, moved.end)
        record.throughputAfter = rate(moved.end, moved.end + Self.after)
        let first = max(0, Int((moved.start - Self.before - seen.start) / Int64(seen.windowMS * 1e6)))
        record.throughput = seen.windows.dropFirst(first).map { Double($0) * 1000 / seen.windowMS }
    }

    /// Rounds over a ring: 50 MB of values, less where that would be more than a quarter of the redis.
    private func keys(_ bytes: Int) -> Int { min(50_000, max(256, bytes / 4 / Writer.valueSize)) }

    private func digest(_ trial: Trial) throws -> String {
        try lab.call("in", "client", "redis-cli", "-h", trial.address, "DEBUG", "DIGEST")
    }

    /// By the source host's network card: everything, headers included; under a writer its acknowledgements too.
    private func bytesSent(_ trial: Trial) throws -> Int {
        Int(try trial.source.run("cat /sys/class/net/eth0/statistics/tx_bytes")) ?? 0
    }
}
