import Containers
import Glibc
import Host
import Model
import Pages
import Plan
import Synchronization
import Wire

/// The source's memory: what the tracker finds dirty is read and sent, round by round, and the rest in the freeze.
///
/// Used by one action at a time: a round, or the final pass.
final class SourceMemory: @unchecked Sendable {
    // SAFETY: `tracker`, `ways` and `pageStreams` are set once, before any action; `sender` by the first one, with `opening` held, before `sending`, by
    // which other threads know it; `carried` is touched by rounds only; the rest is locked.
    private let processes: @Sendable () throws(SystemError) -> [Int32]
    /// Nil: memory is in the images, and nothing travels here.
    private var tracker: ContainerTracker?
    private var ways: Ways?
    /// Data streams of pages; the images have one more.
    private var pageStreams = StreamCount.usual
    /// The container's first process.
    private let container: Int32
    private let link: SourceLink
    private let options: MigrationOptions
    /// In-namespace pid of a process of this host.
    private let innerPID: @Sendable (Int32) -> Int32?
    /// What all streams of this migration together may send.
    let limit: BandwidthLimit?
    let steps = StepLog()
    private let lines = Mutex(Lines())
    private var sender: PageSender?
    /// Of the hashes by which pages are compared.
    let seed = UInt64.random(in: .min ... .max)
    /// What rounds found whose landing was not heard of: the link was lost under the last of them.
    private var carried: [Round] = []
    private let final = Monitor<Final?>(nil)
    private let stopped = Atomic<Bool>(false)
    private let pass = Mutex(Pass())
    /// `sender` and all streams, for other threads to read counters of.
    private let sending = Mutex<PageSender?>(nil)
    /// The final pass and the images may be the first to need streams, at once.
    private let opening = Mutex<Void>(())
    private let shared = Mutex(Shared())
    /// The pages that CRIU shall send, by process.
    private let rest = Monitor<[Int32: [PageRun]]?>(nil)
    /// What CRIU says to its page server goes through it.
    private let tunnel = Mutex<ByteTunnel?>(nil)
    /// Whether the copy was heard to run.
    private let destinationRuns = Monitor(false)
    /// Serves what stays at the source beyond the release.
    private let behind = Mutex<RestServer?>(nil)

    /// What the last round finds is CRIU's to send.
    private var leavesRestToDump: Bool { ways?.leavesRestToDump ?? false }
    private var carriesFilePages: Bool { ways?.carriesFilePages ?? false }

    /// The data streams as they are now.
    private struct Lines: Sendable {
        var pages: [DataSender] = []
        var images: DataSender?
        /// The link's, of these connections.
        var epoch = 0
        /// Bytes that went over earlier ones.
        var spent = 0
        /// How often they were replaced.
        var replaced = 0
        /// The images' is to be kept warm.
        var isWarm = false

        var bytesSent: Int {
            (pages + [images].compactMap { $0 }).reduce(0) { $0 + $1.counters.wireBytes.rawValue }
        }
    }

    private var streams: [DataSender] { lines.withLock { $0.pages } }
    private var images: DataSender? { lines.withLock { $0.images } }

    /// What the final pass found.
    private struct Final: Sendable {
        var spaces: [Shipped.Space]
        var staysBehind: Bool
    }

    /// What the counters showed when a pass over memory began, and how many pages it has.
    private struct Pass {
        var before = 0
        var pages = 0
    }

    /// A round's pages are on the streams when it waits; this bounds a peer that stops reading without closing.
    private static let landingLimit = Duration.seconds(600)
    /// How often a wait for it looks whether the streams still are there.
    private static let landingLook = Duration.milliseconds(200)

    /// How long pages that stayed behind wait for the release at most: some milliseconds where nothing is wrong. What a thread waits for is
    /// answered before. (Everything at once lengthened the release of a post-copy by 70 to 270 ms: the destination's processors
    /// took pages in while its journal was due.)
    private static let releaseLimit = Duration.milliseconds(500)

    init(
        container: Int32, processes: @escaping @Sendable () throws(SystemError) -> [Int32], link: SourceLink,
        options: MigrationOptions,
        innerPID: @escaping @Sendable (Int32) -> Int32?
    ) {
        (self.container, self.processes, self.link, self.options) = (container, processes, link, options)
        self.innerPID = innerPID
        limit = options.bandwidth.map { BandwidthLimit(rate: $0) }
    }

    /// Before all else: how dirty pages are found, if they are.
    func take(_ ways: Ways) throws {
        // What is left out of the dump must be in place before the restore.
        if ways.dump == .hidden, ways.isLazy {
            let made = try SharedMemory(processes: processes, init: container)
            shared.withLock { $0.memory = made }
        }
        tracker = try ways.tracker.map { kind throws(TrackerError) in
            try ContainerTracker(
                kind: TrackerKind(kind), scope: ways.carriesFilePages ? .privateData : .privateAnonymous, processes: processes)
        }
        self.ways = ways
    }

    /// The destination is told to expect so many data streams of pages. Before the first of them.
    func carry(over streams: Int) { pageStreams = streams }

    // MARK: - Shared memory

    private struct Shared {
        var memory: SharedMemory?
        /// What is left out of the dump; nil before the freeze.
        var sealed: [SharedObject]?
    }

    /// Looks for shared memory, tells the destination of it and sends it: all of it in the first round, what differs in the
    /// second. The others are short, and would be longer by reading it all.
    private func sendShared(_ sender: PageSender, round: Int) throws {
        guard round < 2 else { return }
        let passes = try shared.withLock { shared in
            guard let memory = shared.memory else { return [SharedMemory.Pass]() }
            if try memory.look() { link.send(.sharedMemory(memory.known)) }
            return memory.pass(memory.known)
        }
        try send(passes, sender)
    }

    private func send(
        _ passes: [SharedMemory.Pass], _ sender: PageSender, priority: Host.Thread.Priority = .normal, sparing: Bool = false
    ) throws {
        guard !passes.isEmpty else { return }
        let work = passes.map { PageSender.Work(space: $0.space, memory: $0.memory, runs: $0.runs) }
        try sender.send(work, priority: priority, sparing: sparing)
    }

    /// Frozen: the shared memory that the last pass sends, and that the dump therefore leaves out.
    func sealShared() -> [SharedObject] {
        shared.withLock { shared in
            let sealed = shared.sealed ?? shared.memory?.unchanged() ?? []
            shared.sealed = sealed
            return sealed
        }
    }

    /// Opens the data streams: one for each lane of pages and one for images, so that neither waits for the other.
    private func openStreams() throws -> PageSender { try opening.withLock { _ in try openOnce() } }

    private func openOnce() throws -> PageSender {
        if let sender { return sender }
        let streams = try openLines()
        // Only a hash compares with what was read; the others would pay for a lock in vain.
        let tracker = tracker
        let record: PageSender.Witness = { space, runs, bytes in tracker?.recordSent(space.ofProcess, runs, bytes) }
        let made = PageSender(
            streams: streams, seed: seed, witness: ways?.tracker == .contentHash ? record : nil)
        sender = made
        sending.withLock { $0 = made }
        return made
    }

    private func openLines() throws -> [DataSender] {
        let (mode, epoch) = (CompressionMode(options.compression), link.epoch)
        var pages: [DataSender] = []
        for number in 0..<pageStreams {
            pages.append(DataSender(try link.open(.data, number), compression: mode, limit: limit))
        }
        let images = DataSender(try link.open(.data, pageStreams), compression: mode, limit: limit)
        lines.withLock { lines in
            lines.spent += lines.bytesSent
            (lines.pages, lines.images, lines.epoch) = (pages, images, epoch)
            images.keepWarm(lines.isWarm)
        }
        return pages
    }

    /// After a loss: other connections, and agreement with the destination on what came over the earlier ones.
    /// - Returns: pages that the destination has otherwise than they were sent.
    private func reopen(_ sender: PageSender) throws -> [PageRequest] {
        guard lines.withLock({ $0.epoch }) != link.epoch else { return [] }
        let streams = try opening.withLock { _ in try openLines() }
        sender.goOn(over: streams)
        let known = shared.withLock { $0.memory?.known ?? [] }
        if !known.isEmpty { link.send(.sharedMemory(known)) }
        let number = lines.withLock { lines in
            lines.replaced += 1
            return lines.replaced
        }
        _ = link.takeDiffering()
        try sender.sendHeld()
        try land(LandingMarks.comparison(number), "what it has")
        let differing = link.takeDiffering()
        sender.forget(differing)
        return differing
    }

    /// Marks a point on all streams and waits until the destination has all before it.
    private func land(_ token: UInt64, _ what: String) throws {
        let streams = streams
        for stream in streams { try stream.mark(token: token) }
        let deadline = MonotonicInstant.now + Self.landingLimit
        while !(try link.waitForLanding(Int(token), within: Self.landingLook)) {
            // A stream that breaks tells nobody else.
            for stream in streams { try stream.check() }
            if deadline < .now { throw TransferProblem("the destination did not say that \(what) landed") }
        }
    }

    /// The freeze is near: all streams are there, and that of the images, which nothing has used yet, is kept warm: a cold one
    /// needs five round trips for what a small container's images are. Data streams are warm from the rounds.
    func standBy() throws {
        if carriesFilePages { link.send(.commonAreas(CommonAreas.of(tracker?.maps ?? []))) }
        let stream = try imageStream()
        // Filler counts for no limit: a narrow one has no room for it.
        guard options.bandwidth.map({ $0 >= Self.roomForFiller }) ?? true else { return }
        lines.withLock { $0.isWarm = true }
        stream.keepWarm(true)
    }

    /// The freeze would wait for the window, the container now doesn't. Lossy links may never open it so far.
    func awaitWarmth() { images?.waitUntilWarm(within: Self.longestWarming) }

    private static let longestWarming = Duration.milliseconds(800)

    /// What follows is not to stand behind filler.
    func leaveStandBy() {
        lines.withLock { $0.isWarm = false }
        images?.keepWarm(false)
    }

    /// The filler is 1 MB/s.
    private static let roomForFiller = ByteCount.mebibytes(8)

    /// Whether a round has opened the streams: what is asked for then is there at once.
    var hasStreams: Bool { sending.withLock { $0 != nil } }

    func imageStream() throws -> DataSender {
        _ = try openStreams()
        guard let images else { throw TransferProblem("there is no stream for images") }
        return images
    }

    /// Copies what is dirty, running. The report counts what would be dirty if the freeze came now.
    func round(_ number: Int) throws -> RoundReport {
        let began = MonotonicInstant.now
        let sender = try openStreams()
        let sentBefore = bytesSent
        let (zeroBefore, sameBefore) = sender.counters.skipped
        guard let tracker else { throw TransferProblem("memory is in the images: there is nothing to copy in rounds") }
        let differing = try reopen(sender)
        try sendShared(sender, round: number)
        let found = try tracker.round()
        forget(found, sender)
        let again = again(found, differing)
        carried.append(found)
        let pages = found.pageCount.rawValue + again.reduce(0) { $0 + $1.runs.reduce(0) { $0 + $1.count } }
        begin(sender, pages: pages)
        let parts = work(found)
        try sender.send(again + parts.anonymous + parts.files)
        try land(UInt64(number), "round \(number)")
        carried = []
        let took = began.elapsed
        let (zero, same) = sender.counters.skipped
        // Where counting costs a whole round, what this one found is the best that is known of the next.
        let dirty = try tracker.peek() ?? found.pageCount
        return RoundReport(
            pages: pages, bytesSent: bytesSent - sentBefore, durationMS: took.milliseconds,
            dirtyPages: dirty.rawValue, zeroPages: zero - zeroBefore, samePages: same - sameBefore)
    }

    /// What rounds found that may not have landed, and what did not: of processes that live. What landed costs no more than a look.
    private func again(_ found: Round, _ differing: [PageRequest]) -> [PageSender.Work] {
        guard !carried.isEmpty || !differing.isEmpty else { return [] }
        let memories = Dictionary(found.spaces.map { ($0.space, $0.memory) }, uniquingKeysWith: { first, _ in first })
        var parts: [PageSender.Work] = []
        for round in carried {
            let (anonymous, files) = work(round)
            parts += (anonymous + files).filter { memories[$0.space.ofProcess] != nil }
        }
        for (space, pages) in Dictionary(grouping: differing, by: \.space) {
            guard let memory = memories[space.ofProcess] else { continue }
            parts.append(.init(space: space, memory: memory, runs: pages.map { PageRun(start: $0.start, count: $0.count) }))
        }
        return parts
    }

    /// Frozen: finds the rest, sends it and the list of pages that exist.
    func finalPass(_ pass: FinalPass) throws {
        let sender = try openStreams()
        guard let tracker else {
            final.withLock { $0 = Final(spaces: [], staysBehind: false) }
            return try markFinal()
        }
        let found = try steps.time("find the last pages") { try tracker.finalRound() }
        forget(found, sender)
        let parts = work(found)
        begin(sender, pages: found.pageCount.rawValue)
        if leavesRestToDump { rest.withLock { $0 = Self.byProcess(found) } }
        try steps.time("send the last pages") {
            if leavesRestToDump { return }
            switch pass {
            case .everything: try sender.send(parts.anonymous + parts.files, priority: .realtime(4))
            case .listOnly:
                try sender.send(parts.files, priority: .realtime(4))
                try announceStale(parts.anonymous, sender)
            }
        }
        try steps.time("send shared memory") {
            let sealed = sealShared()
            // Not on all processors: CRIU's parasites run as the container's own tasks, and would wait for all of it.
            try send(shared.withLock { $0.memory?.pass(sealed) ?? [] }, sender, priority: .realtime(4), sparing: true)
        }
        let listing = MonotonicInstant.now.nanoseconds
        defer { steps.note("list live pages", since: listing) }
        let live = try tracker.livePages()
        let mine = streams[0]
        var spaces: [Shipped.Space] = []
        let elsewhere = leavesRestToDump ? Self.byProcess(found) : [:]
        for pages in live {
            // What is in the images is restored from them; what came of it before is void.
            let (anonymous, files) = split(pages.runs, of: pages.space)
            try mine.live(space: pages.space, runs: RunList.of(anonymous, without: elsewhere[pages.pid] ?? []))
            if !files.isEmpty { try mine.live(space: pages.space.ofFiles, runs: files) }
            guard let pid = innerPID(pages.pid) else { continue }
            spaces.append(Shipped.Space(space: pages.space, pid: pid))
        }
        if pass == .listOnly {
            let pids = Dictionary(live.map { ($0.space, $0.pid) }, uniquingKeysWith: { first, _ in first })
            try steps.time("note what stays behind") { try RestServer.write(parts.anonymous, pids: pids, of: link.migration) }
        }
        final.withLock { $0 = Final(spaces: spaces, staysBehind: pass == .listOnly) }
        try markFinal()
    }

    private static func byProcess(_ found: Round) -> [Int32: [PageRun]] {
        Dictionary(found.spaces.map { ($0.pid, $0.dirty) }, uniquingKeysWith: { first, _ in first })
    }

    /// The pages of each process that CRIU shall dump although they could travel here. Waits until the final pass has found them.
    func restForDump() throws -> [Int32: [PageRun]] {
        guard let found = rest.wait(until: .now + Self.landingLimit, { $0 }) else {
            throw TransferProblem("the last pass over memory did not end")
        }
        return found
    }

    /// Counts what a tunnel carries among the bytes sent.
    func count(_ tunnel: ByteTunnel) { self.tunnel.withLock { $0 = tunnel } }

    private func markFinal() throws { for stream in streams { try stream.mark(token: LandingMarks.final) } }

    /// What `auto` became.
    func carriedOut(_ method: Plan.Method) -> Plan.Method {
        guard method == .auto else { return method }
        if tracker == nil { return .stopCopy }
        return pagesStayBehind ? .hybrid : .preCopy
    }

    /// Which process each space belongs to. The images may be there before the final pass has found out: waits for it.
    func shippedSpaces() throws -> [Shipped.Space] {
        guard let found = final.wait(until: .now + Self.landingLimit, { $0 }) else {
            throw TransferProblem("the last pass over memory did not end")
        }
        return found.spaces
    }
    var pagesStayBehind: Bool { final.withLock { $0?.staysBehind ?? false } }

    /// Hybrid: what came of these pages before is void. The final round keeps them for `serveMissing`.
    private func announceStale(_ work: [PageSender.Work], _ sender: PageSender) throws {
        for part in work { for run in part.runs { try streams[0].stale(space: part.space, run: run) } }
        // What was sent is void there, so a page with the same content as before must go again.
        sender.forget(work.map(\.space))
        guard let images else { return }
        let rest = RestServer(work, sender: sender, urgent: images)
        behind.withLock { $0 = rest }
        // From the freeze on: CRIU itself touches some of them while it restores.
        try rest.answer(link)
    }

    /// The container runs at the destination: pages that stayed behind harm it no more.
    func released() { destinationRuns.withLock { $0 = true } }

    /// Sends the pages that stayed behind, in order. The container stands frozen here: what is read now is what was then.
    func serveMissing() throws {
        guard let rest = behind.withLock({ $0 }) else { return }
        _ = destinationRuns.wait(until: .now + Self.releaseLimit) { $0 ? true : nil }
        begin(try openStreams(), pages: rest.pages)
        try rest.sendAll()
    }

    /// Lets go of the processes. 22 ms for each GB: never in the freeze.
    func stop() {
        guard !stopped.exchange(true, ordering: .relaxed) else { return }
        tracker?.detach()
    }

    var bytesSent: Int {
        lines.withLock { $0.bytesSent + $0.spent }
            + (tunnel.withLock { $0 }?.bytesSent.rawValue ?? 0)
    }

    /// What a round found, and apart from it the pages of private file mappings.
    private func work(_ round: Round) -> (anonymous: [PageSender.Work], files: [PageSender.Work]) {
        var anonymous: [PageSender.Work] = []
        var ofFiles: [PageSender.Work] = []
        for space in round.spaces {
            let (own, files) = split(space.dirty, of: space.space)
            if !own.isEmpty { anonymous.append(PageSender.Work(space: space.space, memory: space.memory, runs: own)) }
            if !files.isEmpty { ofFiles.append(PageSender.Work(space: space.space.ofFiles, memory: space.memory, runs: files)) }
        }
        return (anonymous, ofFiles)
    }

    /// By the areas that the tracker's last look saw.
    private func split(_ runs: [PageRun], of space: SpaceID) -> (anonymous: [PageRun], files: [PageRun]) {
        guard carriesFilePages, let map = tracker?.areas(space) else { return (runs, []) }
        let files = RunList.of(runs, within: map.areas.filter(\.isFileData).map { $0.start..<$0.end })
        return (RunList.of(runs, without: files), files)
    }

    private func forget(_ round: Round, _ sender: PageSender) {
        sender.forget(round.gone)
        if carriesFilePages { sender.forget(round.gone.map(\.ofFiles)) }
    }

    /// For those who watch: how far the present pass is.
    func counters() -> PassCounters {
        let pass = pass.withLock { $0 }
        guard let sender = sending.withLock({ $0 }) else { return PassCounters() }
        let handled = sender.counters.pages.load(ordering: .relaxed) - pass.before
        return PassCounters(pagesDone: handled, pages: pass.pages, bytesSent: bytesSent)
    }

    /// A pass over so many pages begins.
    private func begin(_ sender: PageSender, pages: Int) {
        let before = sender.counters.pages.load(ordering: .relaxed)
        pass.withLock { $0 = Pass(before: before, pages: pages) }
    }
}

extension CompressionMode {
    init(_ option: MigrationOptions.Compression) {
        switch option {
        case .auto: self = .auto
        case .none: self = .none
        case .lz4: self = .lz4
        case .zstd: self = .zstd
        }
    }
}
