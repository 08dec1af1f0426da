import CLinux
import Glibc
public import Host
public import Model

/// The source's side of copying a container's folders: rounds while it runs, then only the difference in the freeze.
///
/// Each round first takes a snapshot and then copies, so that a change during the copy is found by the next round. The
/// first round compares everything with what the destination has; later ones send what differs between snapshots.
public struct FileSource: ~Copyable {
    /// Absolute paths. A file system mounted inside one of them isn't copied.
    public let folders: [String]
    private var snapshots: [TreeSnapshot] = []
    private var mapped: Set<FileIdentity> = []

    /// - Parameter folders: one of them may be mounted inside another one.
    public init(folders: [String]) { self.folders = folders }

    /// What one round did.
    public struct Round: Sendable, Hashable {
        /// Entries in all folders.
        public var entries = 0
        /// Entries that were looked at by rsync; nil in the first round, when it looks at all.
        public var changed: Int?
        public var deleted = 0
        /// Sizes of the changed files together.
        public var changedBytes = ByteCount.zero
        public var traffic = RsyncRun.Traffic()
        public init() {}
    }

    /// Whether the first round is behind us.
    public var hasCopied: Bool { !snapshots.isEmpty }

    /// Runs one round over a tunnel to `FileDestination.receive` of the same kind (`first` or not).
    /// - Parameters:
    ///   - processes: the container's, for files that they have mapped.
    ///   - deadline: then it is stopped; a later round continues where it was.
    public mutating func copy(
        over tunnel: consuming OwnedDescriptor, processes: [Int32], until deadline: MonotonicInstant? = nil
    ) throws(FileSyncError) -> Round {
        guard hasCopied else { return try copyAll(tunnel, processes, deadline) }
        let delta: FileDelta
        do { delta = try prepareDelta(over: tunnel) } catch { throw .system(error) }
        return try send(delta, processes: processes, vanishedIsFine: true, until: deadline)
    }

    private mutating func copyAll(
        _ tunnel: consuming OwnedDescriptor, _ processes: [Int32], _ deadline: MonotonicInstant?
    ) throws(FileSyncError) -> Round {
        let taken: [TreeSnapshot], mapped: Set<FileIdentity>, run: RsyncRun
        do {
            mapped = try MappedFiles.of(pids: processes)
            taken = try look()
            run = try startAll(tunnel)
        } catch { throw .system(error) }
        var round = Round()
        round.entries = taken.reduce(0) { $0 + $1.count }
        round.traffic = try run.finish(vanishedIsFine: true, until: deadline)
        (snapshots, self.mapped) = (taken, mapped)
        return round
    }

    private borrowing func startAll(_ tunnel: consuming OwnedDescriptor) throws(SystemError) -> RsyncRun {
        try RsyncRun.start(client: .full, confinement, tunnel: tunnel)
    }

    private var confinement: Confinement { Confinement(folders: folders, access: .readOnly) }

    /// Looks at all folders.
    public func look() throws(SystemError) -> [TreeSnapshot] {
        var all: [TreeSnapshot] = []
        for folder in folders {
            // A folder mounted inside another one is copied by itself; what its mount point hides isn't the container's.
            let inner = folders.filter { $0.hasPrefix(folder + "/") }.map { String($0.dropFirst(folder.count + 1)) }
            all.append(try TreeSnapshot.take(of: FolderView(path: folder), skipping: inner))
        }
        return all
    }

    /// Starts rsync on both ends up to the point where it waits for its list: do this before the freeze.
    public func prepareDelta(over tunnel: consuming OwnedDescriptor) throws(SystemError) -> FileDelta {
        let pipe = try Pipe()
        let run = try RsyncRun.start(client: .listed, confinement, tunnel: tunnel, list: pipe.read.raw)
        return FileDelta(run: run, list: pipe.closeReadEnd())
    }

    /// Finds the difference and sends it; in the freeze this is exact.
    ///
    /// With no difference the prepared rsync is ended and the destination sees its tunnel close: tell it so.
    public mutating func send(
        _ delta: consuming FileDelta, processes: [Int32], vanishedIsFine: Bool = false, until deadline: MonotonicInstant? = nil
    ) throws(FileSyncError) -> Round {
        let taken: [TreeSnapshot], nowMapped: Set<FileIdentity>
        do {
            nowMapped = try MappedFiles.of(pids: processes)
            taken = try look()
        } catch {
            delta.cancel()
            throw .system(error)
        }
        let always = mapped.union(nowMapped)
        let differences = zip(taken, snapshots).map { $0.difference(since: $1, mapped: always) }
        var round = Round()
        round.entries = taken.reduce(0) { $0 + $1.count }
        round.changed = differences.reduce(0) { $0 + $1.changed.count }
        round.deleted = differences.reduce(0) { $0 + $1.deleted.count }
        round.changedBytes = differences.reduce(.zero) { $0 + $1.bytes }
        if differences.allSatisfy(\.isEmpty) { delta.cancel() } else {
            round.traffic = try delta.send(differences, vanishedIsFine: vanishedIsFine, until: deadline)
        }
        (snapshots, mapped) = (taken, nowMapped)
        return round
    }
}

/// An rsync that is started, has shaken hands with its peer and waits for the list of paths.
public struct FileDelta: ~Copyable, Sendable {
    private let run: RsyncRun
    private let list: OwnedDescriptor

    init(run: RsyncRun, list: consuming OwnedDescriptor) {
        self.run = run
        self.list = list
    }

    /// Nothing to send, or given up.
    public consuming func cancel() { run.cancel() }

    consuming func send(
        _ differences: [TreeDifference], vanishedIsFine: Bool, until deadline: MonotonicInstant?
    ) throws(FileSyncError) -> RsyncRun.Traffic {
        let text = Self.listText(differences)
        let run = run
        do { try FileIO.writeAll(text.span.bytes, to: list.raw, name: "rsync's list") } catch {
            run.cancel()
            throw .system(error)
        }
        Self.end(list)
        return try run.finish(vanishedIsFine: vanishedIsFine, until: deadline)
    }

    private static func end(_ list: consuming OwnedDescriptor) {}

    /// `0/etc/passwd`, each ended by a zero byte. With the number first no name can be taken for a comment (`#`, `;`);
    /// without a leading dot rsync leaves /tree itself alone, which is read-only.
    static func listText(_ differences: [TreeDifference]) -> [UInt8] {
        var text: [UInt8] = []
        for (index, difference) in differences.enumerated() {
            for path in difference.changed + difference.deleted {
                text += Array("\(index)".utf8)
                if !path.isEmpty { text.append(UInt8(ascii: "/")) }
                text += path
                text.append(0)
            }
        }
        return text
    }
}

/// The destination's side: receives into given folders and nowhere else.
public enum FileDestination {
    public enum Part: String, Sendable, Codable { case first, later }

    /// Starts the receiver for one round of the peer.
    /// - Parameters:
    ///   - folders: existing folders, in the order of the source's.
    ///   - tunnel: from the peer; taken over.
    public static func receive(_ part: Part, into folders: [String], over tunnel: consuming OwnedDescriptor) throws(SystemError) -> RsyncRun {
        try RsyncRun.start(server: part == .first ? .full : .listed, Confinement(folders: folders, access: .readWrite), tunnel: tunnel)
    }
}
