import Containers
import Host
public import Model
import Pages
public import Plan
import Wire

/// `martlet plan`: looks at a container and the way to a host for two seconds, and predicts what each method would cost.
///
/// Nothing is frozen. The container gets the same write tracking as in a migration, for as long as it is watched; the destination is
/// asked what stands in the way, as by `check`, and takes filler.
public enum Planner {
    /// What came of it.
    public struct Report: Sendable {
        public var measured: PlanMeasurement
        public var predictions: [MethodPrediction]
        /// What stands in the way, of both hosts.
        public var findings: [Finding]
    }

    /// When the dirty pages are counted, ms: close together at first, because rounds near the end are short.
    static let moments: [Double] = [25, 50, 100, 200, 400, 700, 1000, 1500, 2000]
    /// Pages that are looked into for zeros.
    private static let samplePages = 2048

    /// - Throws: a `Problem` in words: there is no such container, the host can't be reached.
    public static func plan(_ request: MigrationRequest) throws -> Report {
        _ = Interrupts.take()
        let lock = try SourceContainer.isKnown(request) ? ContainerLock(request.container) : nil
        defer { lock?.release() }
        let source = try SourceContainer(request)
        let (findings, rate) = try ask(source, request)
        let measured = try watch(source, linkRate: rate)
        return Report(
            measured: measured, predictions: Prediction(measured, options: request.options).all(), findings: findings)
    }

    // MARK: the destination

    /// The offer of a dry run, then a burst of filler.
    private static func ask(_ source: SourceContainer, _ request: MigrationRequest) throws -> ([Finding], Double?) {
        let migration = MigrationID.random()
        let mailbox = Mailbox<SourceEvent>()
        let link = SourceLink(
            address: request.destination, route: try Route(to: request.destination), migration: migration, mailbox: mailbox,
            record: MigrationRecord())
        defer { link.close() }
        var options = request.options
        options.dryRun = true
        let offer = Offer(
            migration: migration, container: source.description, source: HostSurvey.capabilities(), options: options,
            findings: [], facts: JSON.text(try source.facts(for: options)))
        link.dial()
        try wait(mailbox, to: "connect to \(request.destination)") { $0 == .connected ? () : nil }
        link.send(.offer(offer))
        let findings = try wait(mailbox, to: "ask \(request.destination)") { event -> Findings? in
            if case .received(.findings(let answer)) = event { answer } else { nil }
        }
        let stream = DataSender(
            try link.open(.data, LinkProbe.stream), compression: .none,
            limit: request.options.bandwidth.map { BandwidthLimit(rate: $0) })
        let rate = try stream.measureRate(burst: LinkProbe.burst, within: .milliseconds(700))
        link.send(.bye)
        return (findings.findings, rate.map { Double($0.rawValue) })
    }

    private static func wait<Answer>(
        _ mailbox: Mailbox<SourceEvent>, to what: String, _ wanted: (SourceEvent) -> Answer?
    ) throws -> Answer {
        let deadline = MonotonicInstant.now + Patience.answer
        while let event = mailbox.next(deadline: deadline) {
            if let answer = wanted(event) { return answer }
            switch event {
            case .connectionFailed(let problem), .peerLost(let problem): throw problem
            default: continue
            }
        }
        throw Problem(what: what, why: "it said nothing for \(Patience.answer)", hint: "is its agent running?")
    }

    // MARK: the container

    /// Attaches to the container: an interrupt must not end the program in the middle of that (`Interrupts`).
    private static func watch(_ source: SourceContainer, linkRate: Double?) throws -> PlanMeasurement {
        let cgroup = source.cgroup
        let tracker = try ContainerTracker(kind: TrackerKind(best())) { () throws(SystemError) in try cgroup.processes() }
        defer { tracker.detach() }
        let first = try tracker.round()
        let before = ProcessorTimes.now()
        let began = MonotonicInstant.now
        let share = contentShare(of: first)
        var dirtied: [PlanMeasurement.Dirtied] = []
        for moment in moments {
            let left = moment - began.elapsed.milliseconds
            if left > 0 { sleepThread(.microseconds(Int64(left * 1000))) }
            let at = began.elapsed.milliseconds
            guard let count = try tracker.peek() else { break }
            dirtied.append(.init(milliseconds: at, pages: count.rawValue))
        }
        let pages = first.pageCount.rawValue
        let other = source.description.memory.rawValue - pages * pageSize
        return PlanMeasurement(
            pages: pages, contentShare: share, otherBytes: ByteCount(max(0, other)),
            processes: source.description.processes.count, linkRate: linkRate,
            busy: ProcessorTimes.now().busy(since: before), dirtied: dirtied)
    }

    private static func best() -> Ways.Tracker {
        let missing = HostSurvey.capabilities().missing
        if missing[.writeProtect] == nil { return .writeProtect }
        return missing[.softDirty] == nil ? .softDirty : .contentHash
    }

    /// Looks into pages that lie evenly among all of them. A page that vanished meanwhile counts as one of zeros.
    private static func contentShare(of round: Round) -> Double {
        let all = round.pageCount.rawValue
        guard all > 0 else { return 1 }
        let step = max(1, all / samplePages)
        var looked = 0, content = 0, skip = 0
        let page = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize, alignment: pageSize)
        defer { page.deallocate() }
        for space in round.spaces {
            for run in space.dirty {
                var index = skip
                while index < run.count {
                    var vanished: [PageRun] = []
                    let one = [PageRun(start: run.start + UInt64(index * pageSize), count: 1)]
                    _ = try? space.memory.read(one, into: page, vanished: &vanished)
                    looked += 1
                    if page.contains(where: { $0 != 0 }) { content += 1 }
                    index += step
                }
                skip = index - run.count
            }
        }
        return looked == 0 ? 1 : Double(content) / Double(looked)
    }
}

/// The first line of /proc/stat: what all processors did since the boot, in ticks.
private struct ProcessorTimes {
    var idle = 0
    var all = 0

    static func now() -> ProcessorTimes {
        let line = ((try? FileIO.readLine("/proc/stat")) ?? "").split(separator: "\n").first ?? ""
        let numbers = line.split(separator: " ").dropFirst().compactMap { Int($0) }
        // user nice system idle iowait irq softirq steal; the guests' are in user.
        guard numbers.count >= 8 else { return ProcessorTimes() }
        return ProcessorTimes(idle: numbers[3] + numbers[4], all: numbers[..<8].reduce(0, +))
    }

    /// 0 where it can't be told.
    func busy(since before: ProcessorTimes) -> Double {
        let passed = all - before.all
        return passed > 0 ? min(max(1 - Double(idle - before.idle) / Double(passed), 0), 1) : 0
    }
}
