import CLinux

/// What a pass was to do, and what it found when it did it.
struct Sending: Sendable {
    var removed: [(folder: Int, path: [UInt8])]
    var changes: [FileChange]
    /// By change, as far as the pass came: what stands at the destination now.
    var held: [TreeSnapshot.Entry?]
    /// Otherwise the last one of `held` may be done in part.
    var complete: Bool

    /// Names for which the destination doesn't hold what a look saw, and what it holds instead; nil: nothing, or anything.
    /// - Parameter base: the look.
    func pending(_ base: inout WatchedTrees) -> [[[UInt8]: TreeSnapshot.Entry?]] {
        var pending = [[[UInt8]: TreeSnapshot.Entry?]](repeating: [:], count: base.trees.count)
        for (tree, path) in removed {
            for lost in base.subtree(tree, path) { pending[tree].updateValue(nil, forKey: lost) }
        }
        // Folders come before what is in them, so what is known of a name replaces what its folder says.
        let emptied = emptied()
        for (number, change) in changes.enumerated() {
            let (tree, path) = (change.folder, change.path), seen = base.entry(tree, path)
            let isDone = number < held.count - (complete ? 0 : 1)
            let here = number < held.count ? held[number] : path.isBelow(emptied[tree]) ? nil : change.old
            if isDone, let seen, let here, seen.isFolder && here.isFolder || seen.isSameFile(as: here) {
                pending[tree][path] = nil
                continue
            }
            if seen == nil, here == nil { continue }
            if seen?.isFolder == true, here?.isFolder != true {
                for lost in base.subtree(tree, path) { pending[tree].updateValue(nil, forKey: lost) }
            }
            // What is in a folder that the look didn't see isn't known.
            pending[tree].updateValue(here?.isFolder == true && seen?.isFolder != true ? nil : here, forKey: path)
        }
        return pending
    }

    /// By tree, if the pass broke off: names below which nothing stands any more but what was sent.
    private func emptied() -> [Set<[UInt8]>] {
        var emptied = Array(repeating: Set<[UInt8]>(), count: (changes.last?.folder ?? 0) + 1)
        if complete { return emptied }
        for (change, here) in zip(changes, held) where change.old?.isFolder != true || here?.isFolder != true {
            emptied[change.folder].insert(change.path)
        }
        return emptied
    }
}

extension [UInt8] {
    /// Whether one of the folders above this path is among some paths.
    func isBelow(_ paths: Set<[UInt8]>) -> Bool {
        !paths.isEmpty && indices.contains { self[$0] == UInt8(ascii: "/") && paths.contains(Array(self[..<$0])) }
    }
}

extension TreeSnapshot.Entry {
    var isFolder: Bool { UInt32(mode) & LINUX_S_IFMT == LINUX_S_IFDIR }

    /// The same file or special file, whatever its content.
    func isSameFile(as other: Self) -> Bool {
        inode == other.inode && UInt32(mode) & LINUX_S_IFMT == UInt32(other.mode) & LINUX_S_IFMT && !isFolder
    }
}

extension FileSource {
    /// What came to the destination by another way than by `FileSource`'s rounds.
    public struct Doubt: Sendable {
        /// By folder: names that were sent or removed.
        private(set) var names: [Set<[UInt8]>]
        /// Those below which things may have been removed.
        private(set) var cleared: [Set<[UInt8]>]
        /// Files that were mapped meanwhile, and may have changed without a trace.
        var mapped: Set<FileIdentity> = []

        init(folders: Int) {
            names = Array(repeating: [], count: folders)
            cleared = names
        }

        mutating func add(_ sending: Sending) {
            for (folder, path) in sending.removed {
                names[folder].insert(path)
                cleared[folder].insert(path)
            }
            for (number, change) in sending.changes.enumerated() {
                names[change.folder].insert(change.path)
                let isDone = number < sending.held.count - (sending.complete ? 0 : 1)
                let now = isDone ? sending.held[number] : nil
                if change.old == nil || now == nil || change.old?.isFolder != now?.isFolder {
                    cleared[change.folder].insert(change.path)
                }
            }
        }
    }
}
