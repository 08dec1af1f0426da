import Glibc
import Host
import Synchronization

/// Collects what changes in the file systems of some folders, from now until it is asked.
///
/// Knows nothing of trees: it keeps names in folders, the folders by their handles, whichever they are. `WatchedTree` says
/// which of them matter. A thread empties the kernel's queue all the time, so that little is left to do in the freeze.
final class TreeWatch: Sendable {
    /// A name in a folder.
    struct Place: Hashable, Sendable {
        var folder: [UInt8]
        var name: [UInt8]
    }

    struct Changes: Sendable {
        var places: [Place: FilesystemWatch.Kinds] = [:]
        /// Changes were lost: only a look at everything tells.
        var overflow = false
    }

    /// 300 bytes each at most: about 100 MB. A tree with more changes than that between two passes is looked at as a whole.
    private static let limit = 300_000

    private let watch: FilesystemWatch
    private let state = Mutex<(changes: Changes, buffer: [UInt8])>((Changes(), [UInt8](repeating: 0, count: 64 << 10)))

    /// File systems whose folder handles are the same for the life of the folder, and that tell of every change. On overlayfs a
    /// copy-up changes a folder's handle; network file systems don't tell what others change.
    private static let trusted: Set<UInt64> = [
        0xef53 /* ext4 */, 0x5846_5342 /* xfs */, 0x9123_683e /* btrfs */, 0x0102_1994 /* tmpfs */, 0xf2f5_2010 /* f2fs */,
    ]

    /// - Throws: where one of the file systems can't be watched.
    init(folders: [String]) throws(SystemError) {
        watch = try FilesystemWatch()
        for path in folders {
            let folder = try OwnedDescriptor(opening: path, flags: O_RDONLY | O_DIRECTORY)
            guard Self.trusted.contains(try FileHandle.filesystem(of: folder.raw).type) else {
                throw SystemError(
                    call: "watch", subject: path, errno: EOPNOTSUPP, hint: "a file system that isn't known to tell all")
            }
            try watch.add(folder: folder.raw, path: path)
        }
        // Ends by itself, a second after the last owner is gone.
        _ = try Thread(named: "files-watch") { [weak self] in
            while let self, self.waitAndCollect() {}
        }
    }

    /// - Returns: false if the queue can't be waited for.
    private func waitAndCollect() -> Bool {
        guard let ready = try? Poll.wait(watch.descriptor, for: .input, until: .now + .seconds(1)) else { return false }
        if !ready.isEmpty { state.withLock { collect(&$0) } }
        return true
    }

    /// Whether anything changed since `take`.
    var hasChanges: Bool {
        state.withLock { state in
            collect(&state)
            return state.changes.overflow || !state.changes.places.isEmpty
        }
    }

    /// All that changed since the last call.
    func take() -> Changes {
        state.withLock { state in
            collect(&state)
            defer { state.changes = Changes() }
            return state.changes
        }
    }

    private func collect(_ state: inout (changes: Changes, buffer: [UInt8])) {
        var changes = state.changes
        state.changes = Changes()  // one owner, so that the table isn't copied
        do {
            try watch.read(&state.buffer) { report in
                switch report {
                case .overflow: changes.overflow = true
                case .changed(let folder, let name, let kinds):
                    if changes.overflow { return }
                    if changes.places.count >= Self.limit {
                        changes.overflow = true
                        changes.places = [:]
                    }
                    changes.places[Place(folder: Array(folder), name: Array(name)), default: []].formUnion(kinds)
                }
            }
        } catch { changes.overflow = true }
        state.changes = changes
    }
}
