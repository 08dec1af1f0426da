import CLinux
import Glibc
public import Host
public import Model

/// The source's side of copying a container's folders: rounds while it runs, then only the difference in the freeze.
///
/// Each round first takes a snapshot and then copies, so that a change during the copy is found by the next round. The
/// first round compares everything with what the destination has; later ones send what differs between snapshots.
///
/// One kind of change no pair of snapshots shows: a name that appears after one, is copied, and is gone before the next. It
/// would stay at the destination for ever (a test that writes all the time found it). So this always holds:
///
/// **What stands at the destination is in the last snapshot or in the list of doubtful names.**
///
/// A running round lists every name that is in the previous snapshot or doubtful, and not in the new one, for deletion, each
/// by itself. Any of them may have come back before rsync looked and so have stayed there or been copied: all become the new
/// doubtful ones. (rsync's log doesn't tell which: it is silent about a file that vanishes between its list and its
/// opening, whose old copy stays.) In the freeze nothing comes back, and the topmost names are enough.
public struct FileSource: ~Copyable {
    /// Absolute paths. A file system mounted inside one of them isn't copied.
    public let folders: [String]
    /// Those of them, by number, whose files' content is always compared: on a tmpfs a store into a mapping leaves no time, so that what
    /// a process mapped, wrote and let go between two looks shows nowhere.
    public let compared: Set<Int>
    private var snapshots: [TreeSnapshot] = []
    private var mapped: Set<FileIdentity> = []
    /// By folder.
    private var doubtful: [[[UInt8]]] = []
    /// What another way than rsync did since the last round; what is there of it is sent, whatever the snapshots say.
    private var doubt: Doubt?

    /// - Parameter folders: one of them may be mounted inside another one.
    public init(folders: [String], compared: Set<Int> = []) { (self.folders, self.compared) = (folders, compared) }

    /// All files of the folders that are always compared.
    static func files(of snapshots: [TreeSnapshot], in compared: Set<Int>) -> Set<FileIdentity> {
        compared.reduce(into: []) { found, number in
            guard number < snapshots.count else { return }
            found.formUnion(snapshots[number].files)
        }
    }

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
        /// What rsync complained of if it couldn't copy everything, which happens while a container exchanges files for
        /// folders under it (status 23; 3.5.0 also ends with 2 if a folder vanishes in a first round). The next round sends
        /// all of it again; whoever runs the rounds decides how often. Never set in the freeze: that is an error.
        public var incomplete: String?
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
        do { round.traffic = try run.finish(vanishedIsFine: true, until: deadline) } catch {
            guard case .rsync(let status, let output) = error else { throw error }
            round.incomplete = "\(status): \(output)"  // there is no snapshot yet: the next round compares everything again
            return round
        }
        let found: [[[UInt8]]]
        do { found = Self.byFolder(try run.names(), folders.count) } catch { throw .system(error) }
        doubtful = zip(taken, found).map { $0.missing($1) }
        (snapshots, self.mapped) = (taken, mapped)
        return round
    }

    /// `12/etc/passwd` is `etc/passwd` of folder 12.
    private static func byFolder(_ names: [[UInt8]], _ count: Int) -> [[[UInt8]]] {
        var all = [[[UInt8]]](repeating: [], count: count)
        for name in names {
            let parts = name.split(separator: UInt8(ascii: "/"), maxSplits: 1)
            guard parts.count == 2, let index = Int(String(decoding: parts[0], as: UTF8.self)), index < count else { continue }
            all[index].append(Array(parts[1]))
        }
        return all
    }

    private borrowing func startAll(_ tunnel: consuming OwnedDescriptor) throws(SystemError) -> RsyncRun {
        try RsyncRun.start(client: .full, confinement, tunnel: tunnel)
    }

    private var confinement: Confinement { Confinement(folders: folders, access: .readOnly) }

    /// What the destination holds after the last round, for the passes of `NativeFiles`.
    var base: (snapshots: [TreeSnapshot], doubtful: [[[UInt8]]], mapped: Set<FileIdentity>) { (snapshots, doubtful, mapped) }

    /// What another way did at the destination since the last round: the next one sends what is there of it and deletes what is gone.
    public mutating func doubt(_ doubt: Doubt) {
        for (index, more) in doubt.names.enumerated() where index < doubtful.count { doubtful[index] += more }
        mapped.formUnion(doubt.mapped)
        self.doubt = doubt
    }

    /// Looks at all folders.
    public func look() throws(SystemError) -> [TreeSnapshot] { try Self.look(at: folders) }

    static func look(at folders: [String]) throws(SystemError) -> [TreeSnapshot] {
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
        let always = mapped.union(nowMapped).union(Self.files(of: taken, in: compared))
        var differences = taken.indices.map {
            taken[$0].difference(
                since: snapshots[$0], mapped: always, doubted: doubt?.names[$0] ?? [], cleared: doubt?.cleared[$0] ?? [])
        }
        for index in differences.indices {
            if vanishedIsFine { differences[index].deleted = differences[index].gone }
            let listed = Set(differences[index].deleted)
            if !doubtful[index].isEmpty {
                // rsync takes a name whose folder is missing for one that vanished, which is an error in the freeze.
                let gone =
                    vanishedIsFine ? Set(taken[index].missing(doubtful[index])) : taken[index].topmostMissing(doubtful[index])
                differences[index].deleted += gone.subtracting(listed)
            }
        }
        var round = Round()
        round.entries = taken.reduce(0) { $0 + $1.count }
        round.changed = differences.reduce(0) { $0 + $1.changed.count }
        round.deleted = differences.reduce(0) { $0 + $1.deleted.count }
        round.changedBytes = differences.reduce(.zero) { $0 + $1.bytes }
        mapped.formUnion(nowMapped)
        if differences.allSatisfy(\.isEmpty) {
            delta.cancel()
            (snapshots, doubtful, mapped, doubt) = (taken, doubtful.map { _ in [] }, nowMapped, nil)
            return round
        }
        // Until rsync has succeeded the old snapshot counts, and all that is listed may or may not be there.
        for index in differences.indices {
            doubtful[index] = Array(Set(doubtful[index] + differences[index].changed + differences[index].deleted))
        }
        do { round.traffic = try delta.send(differences, vanishedIsFine: vanishedIsFine, until: deadline) } catch {
            guard vanishedIsFine, case .rsync(let status, let output) = error else { throw error }
            round.incomplete = "\(status): \(output)"
            return round
        }
        doubtful = zip(taken, doubtful).map { $0.missing($1) }
        (snapshots, mapped, doubt) = (taken, nowMapped, nil)
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
    /// What a files stream carries, which its number says: an rsync that compares everything, one that takes a list, or
    /// `NativeFiles`.
    public enum Part: String, Sendable, Codable, CaseIterable {
        case first, later, native

        public var stream: Int {
            switch self {
            case .first: 0
            case .later: 1
            case .native: 2
            }
        }
        public init?(stream: Int) {
            guard let part = Self.allCases.first(where: { $0.stream == stream }) else { return nil }
            self = part
        }
    }

    /// Starts the receiver for one round of the peer.
    /// - Parameters:
    ///   - folders: existing folders, in the order of the source's.
    ///   - tunnel: from the peer; taken over.
    public static func receive(_ part: Part, into folders: [String], over tunnel: consuming OwnedDescriptor) throws(SystemError)
        -> RsyncRun
    {
        try RsyncRun.start(
            server: part == .first ? .full : .listed, Confinement(folders: folders, access: .readWrite), tunnel: tunnel)
    }
}
