import Containers
import Host
import Model
import Synchronization
import Wire

/// The source's files: brought up to date while the container runs, and the rest in the freeze.
///
/// Each pass has a connection of its own, numbered in the order of passes: 0 copies everything, later ones what has changed.
/// The frozen pass's rsync is started beforehand on both hosts and waits for its list.
final class SourceFiles: @unchecked Sendable {
    // SAFETY: everything below is touched with `busy` held; passes never overlap.
    private let busy = Mutex<Void>(())
    private var source: FileSource
    private var passes = 0
    private var prepared: FileDelta?
    private let link: SourceLink
    private let processes: @Sendable () -> [Int32]

    /// rsync of a changed tree in the freeze; a longer one breaks clients anyway.
    private static let frozenLimit = Duration.seconds(60)

    init(folders: [String], link: SourceLink, processes: @escaping @Sendable () -> [Int32]) {
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
            let round = try source.copy(over: try tunnel(), processes: processes())
            if passes > 1 { prepared = try source.prepareDelta(over: try tunnel()) }
            return round
        }
    }

    /// Starts the rsync pair of the frozen pass, unless it is there.
    func prepareFrozenPass() throws {
        try busy.withLock { _ in
            if prepared == nil { prepared = try source.prepareDelta(over: try tunnel()) }
        }
    }

    /// Gives up what is prepared.
    func cancel() { busy.withLock { _ in takePrepared()?.cancel() } }

    private func takePrepared() -> FileDelta? {
        let delta = prepared.take()
        return delta
    }

    /// A way to the destination's rsync: our end of a socket pair whose other end is joined to a connection.
    private func tunnel() throws -> OwnedDescriptor {
        defer { passes += 1 }
        let connection = try link.open(.files, min(passes, 255))
        return try Tunnel.open(connection)
    }
}

/// Joins a connection to a local socket pair.
enum Tunnel {
    /// - Returns: the end for rsync.
    static func open(_ connection: Connection) throws -> OwnedDescriptor {
        var ends: [Int32] = []
        try UnixSocket.pair(.stream).split { first, second in
            ends = [first.takeDescriptor().release(), second.takeDescriptor().release()]
        }
        let ours = OwnedDescriptor(taking: ends[0])
        // The tunnel lives as long as its connection.
        // How rsync ended is rsync's to tell: one that has all it needs closes before the last bytes of its peer.
        _ = ByteTunnel(connection, socket: OwnedDescriptor(taking: ends[1])) { _ in }
        return ours
    }
}
