import Containers
import Host
import Model
import Synchronization
import Wire

/// The source's files: brought up to date while the container runs, and the rest in the freeze.
///
/// First rsync compares everything with what the destination has. Then a stream of our own (`NativeFiles`) follows the changes: a
/// thread makes a pass whenever something changed, so that little is left for the freeze, where no program is started and nothing but
/// the changed names is looked at. If that stream breaks, rsync does the rest, in the freeze too.
final class SourceFiles: @unchecked Sendable {
    // SAFETY: everything below is touched with `busy` held; passes never overlap.
    private let busy = Mutex<Void>(())
    private var source: FileSource
    private var native: NativeFiles?
    private let link: SourceLink
    private let limit: BandwidthLimit?
    private let processes: @Sendable () -> [Int32]
    private let note: @Sendable (String) -> Void
    /// The container stops: a running pass ends at the next file, and the next one is the last.
    private let stopping = Atomic<Bool>(false)
    /// How the last pass went.
    private let last = Monitor<LastPass?>(nil)
    private let follower = Mutex<Follower?>(nil)
    private let carried: [Carried]
    private let container: Int32
    private var areShown = false

    /// A tmpfs of the container's own, and the folder at which it is shown to us.
    struct Carried: Sendable {
        var tmpfs: CarriedTmpfs
        var folder: String
    }

    /// rsync of a changed tree in the freeze; a longer one breaks clients anyway.
    private static let frozenLimit = Duration.seconds(60)
    /// Three attempts in all: of 160 passes over a tree that changed all the time 3 ended early (test of FileSource).
    private static let moreAttempts = 2

    private enum LastPass { case sent(UInt64?), failed }

    /// - Parameters:
    ///   - carried: what travels behind the folders.
    ///   - container: its first process.
    ///   - limit: what all streams together may send.
    init(
        folders: [String], carried: [Carried], of container: Int32, link: SourceLink, limit: BandwidthLimit?,
        processes: @escaping @Sendable () -> [Int32],
        note: @escaping @Sendable (String) -> Void
    ) {
        self.limit = limit
        let all = folders + carried.map(\.folder)
        source = FileSource(folders: all, compared: Set(folders.count..<all.count))
        (self.carried, self.container) = (carried, container)
        (self.link, self.processes, self.note) = (link, processes, note)
    }

    /// One pass: the first compares everything, later ones send what changed since; in the freeze it is the last one.
    func sync() throws {
        let last = stopping.load(ordering: .relaxed)
        try busy.withLock { _ in
            if last { return try finishAndTell() }
            try show()
            if native != nil, try follow() { return }
            _ = try copy()
            if source.hasCopied { begin() }
        }
    }

    /// What the container has mounted for itself is shown to us, once.
    private func show() throws {
        if areShown { return }
        areShown = true
        for one in carried {
            try Places.make(one.folder)
            try TmpfsPlace.show(one.tmpfs, of: container, at: one.folder)
        }
    }

    /// The freeze begins, or the attempt is given up: what goes on by itself ends.
    func containerStops() {
        stopping.store(true, ordering: .relaxed)
        follower.withLock { $0.take() }?.stop()
    }

    // MARK: - rsync

    /// One running pass; files that change under rsync's hands can make it end early, and then another pass may do better.
    private func copy() throws -> FileSource.Round {
        var round = try source.copy(over: try tunnel(source.hasCopied ? .later : .first), processes: processes())
        for _ in 0..<Self.moreAttempts where round.incomplete != nil {
            round = try source.copy(over: try tunnel(source.hasCopied ? .later : .first), processes: processes())
        }
        // Later passes make up for later ones; nothing makes up for a first one that never succeeded.
        if !source.hasCopied, let why = round.incomplete { throw TransferProblem("copying files: \(why)") }
        return round
    }

    /// A way to the destination's files: our end of a socket pair whose other end is joined to a connection.
    private func tunnel(_ part: FileDestination.Part) throws -> OwnedDescriptor {
        try Tunnel.open(try link.open(.files, part.stream), limit: limit)
    }

    // MARK: - The stream of our own

    private func begin() {
        do {
            let native = try NativeFiles(after: source, over: try tunnel(.native))
            if let why = native.unwatched { note("files: changes are found by looking at everything (\(why))") }
            self.native = consume native
            let started = try Follower { [weak self] in self?.followUnlessFrozen() }
            follower.withLock { $0 = started }
        } catch { note("files: only rsync: \(error)") }
    }

    /// - Returns: false if the stream broke, and rsync has to do it.
    private func follow() throws -> Bool {
        do {
            _ = try native?.pass(processes: processes()) { [self] in stopping.load(ordering: .relaxed) }
            return native != nil
        } catch {
            leaveNative("\(error)")
            return false
        }
    }

    /// What the follower's thread does now and then.
    private func followUnlessFrozen() {
        busy.withLock { _ in
            guard !stopping.load(ordering: .relaxed), native?.hasNews == true else { return }
            _ = try? follow()
        }
    }

    private func leaveNative(_ why: String) {
        note("files: on with rsync: \(why)")
        if let doubt = native?.doubt { source.doubt(doubt) }
        native = nil
    }

    /// Frozen: waits until the last pass was sent.
    /// - Returns: the pass whose end the destination has to wait for, if it was not waited for here.
    func unanswered() throws -> UInt64? {
        switch last.wait(until: .now + Self.frozenLimit * 2, { $0 }) {
        case .sent(let number): return number
        case .failed, nil: throw TransferProblem("the last pass over the files failed")
        }
    }

    private func finishAndTell() throws {
        do {
            try show()
            let number = try finish()
            last.withLock { $0 = .sent(number) }
        } catch {
            last.withLock { $0 = .failed }
            throw error
        }
    }

    /// The last pass, with everything frozen.
    /// - Returns: its number if nobody waited for its end.
    private func finish() throws -> UInt64? {
        if native != nil {
            do {
                if let pass = try native?.finish(processes: processes(), waits: false) {
                    report(pass)
                    return pass.unanswered
                }
            } catch { leaveNative("\(error)") }
        }
        guard source.hasCopied else {
            let round = try source.copy(over: try tunnel(.first), processes: processes(), until: .now + Self.frozenLimit)
            if let why = round.incomplete { throw TransferProblem("rsync could not copy everything: \(why)") }
            return nil
        }
        let delta = try source.prepareDelta(over: try tunnel(.later))
        _ = try source.send(delta, processes: processes(), until: .now + Self.frozenLimit)
        return nil
    }

    /// How long it took is among the result's steps.
    private func report(_ pass: NativeFiles.Pass) {
        guard pass.changed + pass.deleted > 0 || !pass.watched else { return }
        note(
            "files in the freeze: \(pass.changed) changed, \(pass.deleted) deleted, \(pass.sent.rawValue) bytes"
                + (pass.watched ? "" : ", found by looking at everything"))
    }
}

/// A thread that does something again and again, with pauses that leave the processor to others.
final class Follower: Sendable {
    private let wake: Pipe
    private let thread: Host.Thread

    /// At least 50 ms, because what changed within a second is mostly the same files; at least four times as long as the work took, so
    /// that a huge tree costs a fifth of one processor.
    private static let shortestPause = Duration.milliseconds(50)
    private static let share = 4

    init(_ work: @escaping @Sendable () -> Void) throws(SystemError) {
        wake = try Pipe()
        let stop = SharedDescriptor(try wake.read.duplicate())
        thread = try Host.Thread(named: "files-follow", priority: .nice(5)) {
            var pause = Self.shortestPause
            while let ready = try? Poll.wait(stop.raw, for: .input, until: .now + pause), ready.isEmpty {
                let begun = MonotonicInstant.now
                work()
                pause = max(Self.shortestPause, begun.elapsed * Self.share)
            }
        }
    }

    func stop() {
        let word: [UInt8] = [1]
        // Not waited for: a pass that goes on ends soon, and passes exclude each other.
        try? FileIO.writeAll(word.span.bytes, to: wake.write.raw, name: "wake-up")
    }
}

/// Joins a connection to a local socket pair.
enum Tunnel {
    /// The number of the stream of role files that carries what CRIU says to its page server; those of `FileDestination` are below.
    static let pageServer = 7

    /// - Returns: the end for rsync, or for our own stream.
    static func open(_ connection: Connection, limit: BandwidthLimit? = nil) throws -> OwnedDescriptor {
        try open(connection, limit: limit, counted: { _ in })
    }

    /// - Parameter counted: given the tunnel, whose counters tell what it carried.
    static func open(
        _ connection: Connection, limit: BandwidthLimit?, counted: (ByteTunnel) -> Void
    ) throws -> OwnedDescriptor {
        var ends: [Int32] = []
        try UnixSocket.pair(.stream).split { first, second in
            ends = [first.takeDescriptor().release(), second.takeDescriptor().release()]
        }
        let ours = OwnedDescriptor(taking: ends[0])
        // The tunnel lives as long as its connection.
        // How rsync ended is rsync's to tell: one that has all it needs closes before the last bytes of its peer.
        counted(ByteTunnel(connection, socket: OwnedDescriptor(taking: ends[1]), limit: limit) { _ in })
        return ours
    }
}
