import CLinux
import Glibc
public import Host
public import Model

/// The source's side of the native file stream: passes while the container runs, and a last one in the freeze.
///
/// It goes on from a first round of `FileSource`. Every running pass looks at the whole tree (`TreeSnapshot`) and sends what differs
/// from the last look; the last pass only asks the file system about the names that a watch saw change since that look, and
/// costs nothing for the rest. Where there is no watch, or it lost something, the last pass looks at the whole tree too.
///
/// **What stands at the destination is, by name: what the last look saw, but for the names in `pending`.** The container goes on between
/// a look and the sending, so a name may be gone or be another file when it is sent, and back before the next look, where nothing
/// shows it. Therefore the sender tells what it found, and a name where that isn't what the look saw is pending: it is sent again.
///
/// After an error the stream is of no use any more; `FileSource` does the rest then, and is told what was done (`doubt`).
public struct NativeFiles: ~Copyable {
    private let folders: [String]
    /// As `FileSource` has it.
    private let compared: Set<Int>
    private let roots: [SharedDescriptor]
    private let views: [SharedDescriptor]
    private var sender: FileSender
    private let watch: TreeWatch?
    private var base: WatchedTrees
    private var mapped: Set<FileIdentity>
    /// Names that are to be sent again, and what the destination holds there; nil: nothing, or anything.
    private var pending: [[[UInt8]: TreeSnapshot.Entry?]]
    private var pendingRemovals: [[[UInt8]]]
    /// What `pending` doesn't count yet: the freeze has no time for it.
    private var unsettled: Sending?
    /// What this stream did to names, for the rsync that does the rest.
    public private(set) var doubt: FileSource.Doubt
    /// Why changes aren't watched: then the freeze includes a look at the whole tree.
    public let unwatched: String?

    /// - Parameters:
    ///   - source: with a first round behind it.
    ///   - socket: a stream to the destination's `FileReceiver` of the same folders.
    ///   - watching: false in tests of what is done without a watch.
    public init(
        after source: borrowing FileSource, over socket: consuming OwnedDescriptor, watching: Bool = true
    ) throws(SystemError) {
        let folders = source.folders
        var roots: [SharedDescriptor] = [], views: [SharedDescriptor] = []
        for folder in folders {
            let view = try FolderView.cloneMount(folder)
            let root = Int32(try kernelResult("openat", folder, linux_openat(view.raw, ".", O_RDONLY | O_DIRECTORY, 0)))
            roots.append(SharedDescriptor(OwnedDescriptor(taking: root)))
            views.append(SharedDescriptor(view))
        }
        let known = source.base
        let base = try WatchedTrees(known.snapshots, roots: roots.map(\.raw), watched: false)
        // The last that can fail: a half-made value can't give a descriptor back.
        sender = try FileSender(folders: folders, socket: socket)
        (self.folders, self.roots, self.views, self.base) = (folders, roots, views, base)
        compared = source.compared
        (watch, unwatched) = watching ? Self.watch(folders) : (nil, "not asked for")
        mapped = known.mapped
        pending = Array(repeating: [:], count: folders.count)
        pendingRemovals = known.doubtful
        doubt = FileSource.Doubt(folders: folders.count)
    }

    private static func watch(_ folders: [String]) -> (TreeWatch?, String?) {
        do { return (try TreeWatch(folders: folders), nil) } catch { return (nil, "\(error)") }
    }

    /// What a pass did and how long its parts took.
    public struct Pass: Sendable, Hashable {
        public var changed = 0
        public var deleted = 0
        public var sent = ByteCount.zero
        /// All names were sent: false if it was cancelled.
        public var complete = true
        /// Whether the watch told what changed.
        public var watched = false
        /// Finding the changes, and sending them until the destination says that all is done.
        public var finding = Duration.zero
        public var sending = Duration.zero
        /// What `FileReceiver.wait` at the destination has to wait for; nil if nothing was sent, or its end was waited for here.
        public var unanswered: UInt64?
    }

    /// Whether anything may have changed since the last look.
    public var hasNews: Bool {
        if compared.contains(where: { !base.trees[$0].snapshot.files.isEmpty }) { return true }
        return watch.map { $0.hasChanges } ?? true
    }

    /// A pass while the container runs.
    /// - Parameters:
    ///   - processes: the container's.
    ///   - cancelled: asked often; when it says so the pass ends early, and what is left is `pending`.
    public mutating func pass(processes: [Int32], cancelled: @escaping @Sendable () -> Bool) throws(FileSyncError) -> Pass {
        try lookAndSend(processes, cancelled: cancelled)
    }

    /// The last pass, with everything frozen: afterwards the folders are equal.
    /// - Parameter waits: false: the destination waits for it (`Pass.unanswered`), which saves the freeze a round trip.
    public mutating func finish(processes: [Int32], waits: Bool = true) throws(FileSyncError) -> Pass {
        settle()
        let begun = MonotonicInstant.now
        let found: FileChanges?
        do { found = try changesSeen(processes) } catch { throw .system(error) }
        guard var found else { return try lookAndSend(processes) { false } }
        for tree in pending.indices {
            for path in base.add(tree, again: pending[tree].keys, to: &found) { found.add(tree, path, content: true) }
        }
        found.addParents { _, _ in true }
        var pass = try send(found, begun, waits: waits) { false }
        pass.watched = true
        return pass
    }

    /// - Returns: nil without a watch, or if it lost something.
    private mutating func changesSeen(_ processes: [Int32]) throws(SystemError) -> FileChanges? {
        guard let watch, base.isWatched else { return nil }
        let seen = watch.take()
        if seen.overflow { return nil }
        let mapped = try MappedFiles.of(pids: processes)
            .union(FileSource.files(of: base.trees.map(\.snapshot), in: compared))
        return try base.changes(of: seen, roots: roots.map(\.raw), mapped: mapped)
    }

    private mutating func lookAndSend(_ processes: [Int32], cancelled: @escaping @Sendable () -> Bool) throws(FileSyncError)
        -> Pass
    {
        settle()
        let begun = MonotonicInstant.now
        var found = FileChanges(trees: folders.count)
        var next: WatchedTrees
        do {
            // First the watch, then the look: what changes in between is seen by both.
            _ = watch?.take()
            let nowMapped = try MappedFiles.of(pids: processes)
            let taken = try FileSource.look(at: folders)
            let always = mapped.union(nowMapped).union(FileSource.files(of: taken, in: compared))
            for (tree, snapshot) in taken.enumerated() {
                let difference = snapshot.difference(since: base.trees[tree].snapshot, mapped: always)
                for path in difference.changed { found.add(tree, path, content: true) }
                for path in difference.deleted { found.remove(tree, path) }
                let doubtful = snapshot.missing(pendingRemovals[tree])
                for path in doubtful { found.remove(tree, path) }
            }
            next = try WatchedTrees(taken, roots: roots.map(\.raw), watched: watch != nil)
            mapped = nowMapped
            doubt.mapped.formUnion(nowMapped)
        } catch { throw .system(error) }
        for tree in pending.indices {
            // One that the look doesn't know goes away, even if it's there again: the next look will call it new.
            for path in next.add(tree, again: pending[tree].keys, to: &found) { found.remove(tree, path) }
        }
        found.addParents { next.entry($0, $1) != nil }
        let pass = try send(found, begun, cancelled: cancelled)
        base = next
        settle()
        return pass
    }

    private mutating func send(
        _ found: FileChanges, _ begun: MonotonicInstant, waits: Bool = true, cancelled: @escaping @Sendable () -> Bool
    ) throws(FileSyncError) -> Pass {
        let pending = pending
        let (removed, changes) = found.inOrder { tree, path in
            if let waiting = pending[tree][path] { return waiting }
            return base.entry(tree, path)
        }
        var pass = Pass()
        (pass.changed, pass.deleted) = (changes.count, removed.count)
        pass.finding = begun.elapsed
        if removed.isEmpty && changes.isEmpty { return pass }
        let started = MonotonicInstant.now
        let sent: FileSender.Sent
        do { sent = try sender.pass(removed: removed, changes: changes, waits: waits, cancelled: cancelled) } catch {
            doubt.add(Sending(removed: removed, changes: changes, held: sender.held, complete: false))
            throw error
        }
        pass.sending = started.elapsed
        pass.sent = ByteCount(sent.bytes)
        pass.complete = sent.complete
        pass.unanswered = waits ? nil : sent.number
        unsettled = Sending(removed: removed, changes: changes, held: sender.held, complete: sent.complete)
        return pass
    }

    /// Counts what the last pass left to be sent again.
    private mutating func settle() {
        guard let sending = unsettled else { return }
        unsettled = nil
        doubt.add(sending)
        pendingRemovals = Array(repeating: [], count: folders.count)
        pending = sending.pending(&base)
    }
}
