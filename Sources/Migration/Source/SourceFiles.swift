import Containers
import Host
import Model
import Synchronization
import Wire

/// The source's files: brought up to date while the container runs, and the rest in the freeze.
///
/// Each pass has a connection of its own.
/// The frozen pass's rsync is started beforehand on both hosts and waits for its list.
final class SourceFiles: @unchecked Sendable {
    // SAFETY: everything below is touched with `busy` held; passes never overlap.
    private let busy = Mutex<Void>(())
    private var source: FileSource
    private var passes = 0
    private var prepared: FileDelta?
    private let link: SourceLink
    private let limit: BandwidthLimit?
    private let processes: @Sendable () -> [Int32]

    /// rsync of a changed tree in the freeze; a longer one breaks clients anyway.
    private static let frozenLimit = Duration.seconds(60)

    /// - Parameter limit: what all streams together may send.
    init(folders: [String], link: SourceLink, limit: BandwidthLimit?, processes: @escaping @Sendable () -> [Int32]) {
        self.limit = limit
        source = FileSource(folders: folders)
        self.link = link
        self.processes = processes
    }

    /// One pass. The first compares everything, later ones send what changed since.
    func sync() throws -> FileSource.Round {
        try busy.withLock { _ in
            if let delta = takePrepared() {
                return try source.send(delta, processes: processes(), until: .now + Self.frozenLimit)
            }
            let round = try copy()
            if passes > 1, source.hasCopied { prepared = try source.prepareDelta(over: try tunnel(.later)) }
            return round
        }
    }

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

    /// Three attempts in all: of 160 passes over a tree that changed all the time 3 ended early (test of FileSource).
    private static let moreAttempts = 2

    /// Starts the rsync pair of the frozen pass, unless it is there.
    func prepareFrozenPass() throws {
        try busy.withLock { _ in
            if prepared == nil { prepared = try source.prepareDelta(over: try tunnel(.later)) }
        }
    }

    /// Gives up what is prepared.
    func cancel() { busy.withLock { _ in takePrepared()?.cancel() } }

    private func takePrepared() -> FileDelta? {
        let delta = prepared.take()
        return delta
    }

    /// A way to the destination's rsync: our end of a socket pair whose other end is joined to a connection.
    ///
    /// The stream's number says which of its two rsyncs the destination has to start: 0 for one that compares everything, 1 for
    /// one that takes a list.
    private func tunnel(_ part: FileDestination.Part) throws -> OwnedDescriptor {
        passes += 1
        let connection = try link.open(.files, part == .first ? 0 : 1)
        return try Tunnel.open(connection, limit: limit)
    }
}

/// Joins a connection to a local socket pair.
enum Tunnel {
    /// - Returns: the end for rsync.
    static func open(_ connection: Connection, limit: BandwidthLimit? = nil) throws -> OwnedDescriptor {
        var ends: [Int32] = []
        try UnixSocket.pair(.stream).split { first, second in
            ends = [first.takeDescriptor().release(), second.takeDescriptor().release()]
        }
        let ours = OwnedDescriptor(taking: ends[0])
        // The tunnel lives as long as its connection.
        // How rsync ended is rsync's to tell: one that has all it needs closes before the last bytes of its peer.
        _ = ByteTunnel(connection, socket: OwnedDescriptor(taking: ends[1]), limit: limit) { _ in }
        return ours
    }
}
