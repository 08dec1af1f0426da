import FoundationEssentials

/// One cell from a fresh container to a clean lab.
struct CellMeasurement {
    var lab: Lab
    var cell: Cell
    var run: Int
    var writeRate: Int

    func entry() -> Entry {
        var entry = Entry(cell, run: run)
        let start = now()
        do {
            // Images twice, or the store, beside the container itself.
            guard Machine.availableMemory > 2 * cell.workload.bytes + 3 << 29 else {
                throw Failure("too little free memory here")
            }
            let trial = try Trial(
                lab: lab, bytes: cell.workload.bytes, martletOptions: cell.way.options, port: cell.workload.port)
            do { try measure(trial, &entry) } catch { entry.problem = "\(error)" }
            try cell.way.way.forget(trial)
            try ByHand.cleanUp(trial)
        } catch { entry.problem = entry.problem ?? "\(error)" }
        entry.seconds = milliseconds(now() - start) / 1000
        return entry
    }

    private func measure(_ trial: Trial, _ entry: inout Entry) throws {
        let (workload, way) = (cell.workload, cell.way.way)
        try cell.way.way.forget(trial)
        try ByHand.cleanUp(trial)
        try workload.start(trial)
        try way.adopt(trial)
        try workload.fill(trial)
        let state = try workload.state(trial)
        // The peers take along whom the container knows by hardware address: its client has to be known.
        try lab.call("in", "client", "ping", "-q", "-c", "1", "-W", "5", trial.address)
        try way.prepare(trial)
        let client = try Process([
            lab.script("in"), "client", "downtime", "probe", workload.dialect.rawValue, trial.address, "\(trial.port)",
            cell.isLoaded ? workload.load(rate: writeRate) : "none",
        ])
        guard try client.readLine(until: now() + 60_000 * millisecond) == "watching" else {
            throw Failure("the client did not start")
        }
        sleep(until: now() + Probe.margin.before + 300 * millisecond)
        let sentBefore = try bytesSent(trial)
        let moved: Moved
        do { moved = try way.migrate(trial) } catch {
            client.endInput()
            _ = client.wait()
            throw error
        }
        entry.bytesSent = try bytesSent(trial) - sentBefore
        sleep(until: moved.end + Probe.margin.after)
        client.write("\(moved.start) \(moved.end)")
        guard let line = try client.readLine(until: now() + 300_000 * millisecond) else {
            throw Failure("the client ended without a word")
        }
        _ = client.wait()
        note(moved, try JSONDecoder().decode(Sight.self, from: Data(line.utf8)), &entry)
        entry.sameState = try workload.state(trial) == state
        guard try way.isRunning(trial) else { throw Failure("the container does not run at the destination") }
    }

    private func note(_ moved: Moved, _ seen: Sight, _ entry: inout Entry) {
        entry.steps = moved.steps
        entry.totalMS = moved.totalMS
        entry.reportedDowntimeMS = moved.reportedDowntimeMS
        (entry.rounds, entry.method) = (moved.rounds, moved.method)
        // What came before the command is the machine's own noise.
        let gaps = seen.gaps.filter { $0.start + Int64($0.milliseconds * 1e6) >= moved.start }
        entry.downtimeMS = gaps.map(\.milliseconds).max() ?? seen.during?.max ?? 0
        entry.gaps = gaps.map { Record.Gap(at: milliseconds($0.start - moved.start), milliseconds: $0.milliseconds) }
        if cell.isLoaded, seen.loadLongestGapMS > 0 { entry.openGapMS = seen.loadLongestGapMS }
        (entry.before, entry.during, entry.after) = (seen.before, seen.during, seen.after)
        (entry.loadBefore, entry.loadDuring, entry.loadAfter) = (seen.loadBefore, seen.loadDuring, seen.loadAfter)
        (entry.lost, entry.reconnects) = (seen.lost, seen.loadReconnects)
        entry.problem = seen.problem
        let window = Int64(seen.windowMS * 1e6), first = max(0, Int((moved.start - Probe.margin.before - seen.start) / window))
        entry.latency = seen.latency.dropFirst(first).map { ($0 * 100).rounded() / 100 }
        guard !seen.windows.isEmpty else { return }
        func rate(_ from: Int64, _ to: Int64) -> Double {
            let first = Int((from - seen.start) / window), last = max(Int((to - seen.start) / window), first + 1)
            let part = seen.windows.indices.filter { (first..<last).contains($0) }.map { seen.windows[$0] }
            return Double(part.reduce(0, +)) / (Double(last - first) * seen.windowMS / 1000)
        }
        entry.rateBefore = rate(moved.start - Probe.margin.before, moved.start)
        entry.rateDuring = rate(moved.start, moved.end)
        entry.rateAfter = rate(moved.end, moved.end + Probe.margin.after)
        // The last window ends before its time.
        entry.throughput = seen.windows.dropFirst(first).dropLast().map { Double($0) * 1000 / seen.windowMS }
    }

    private func bytesSent(_ trial: Trial) throws -> Int {
        Int(try trial.source.run("cat /sys/class/net/eth0/statistics/tx_bytes")) ?? 0
    }
}
