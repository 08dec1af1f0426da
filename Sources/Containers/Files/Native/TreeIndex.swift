import CLinux
import Glibc
import Host

/// Finds entries of a snapshot by path and by folder.
///
/// Tables of a folder's names are made when the folder is first asked for.
struct TreeIndex: Sendable {
    let snapshot: TreeSnapshot
    private var names: [Int32: [[UInt8]: Int]] = [:]

    init(_ snapshot: TreeSnapshot) { self.snapshot = snapshot }

    /// An entry by its folder's number and its name.
    mutating func child(_ folder: Int32, _ name: [UInt8]) -> Int? {
        if let known = names[folder] { return known[name] }
        let place = snapshot.folders[Int(folder)]
        var table: [[UInt8]: Int] = [:]
        table.reserveCapacity(Int(place.count))
        for index in Int(place.first)..<Int(place.first + place.count) { table[Array(snapshot.name(index))] = index }
        names[folder] = table
        return table[name]
    }

    /// An entry by its path.
    mutating func find(_ path: [UInt8]) -> Int? {
        var at = 0
        for name in path.split(separator: UInt8(ascii: "/")) {
            let folder = snapshot.entries[at].child
            guard folder >= 0, let next = child(folder, Array(name)) else { return nil }
            at = next
        }
        return at
    }
}

/// What stood in some folders at one moment, and which handle belongs to which folder: so a watch's changes find their paths.
///
/// A change in a folder that isn't known here is none of ours: either the folder lies outside, or it is new, and then the change
/// that brought it into a known folder says so and all of it is looked at.
struct WatchedTrees: Sendable {
    private(set) var trees: [TreeIndex]
    private var handles: [[UInt8]: (tree: Int, folder: Int32)] = [:]
    /// By tree: files of several names that may have changed, and whether their content may.
    private var linked: [[UInt64: Bool]]

    /// Whether changes of a watch can be found in it.
    let isWatched: Bool

    /// - Parameter watched: whether handles are needed; about 2 µs a folder.
    init(_ snapshots: [TreeSnapshot], roots: [Int32], watched: Bool) throws(SystemError) {
        isWatched = watched
        trees = snapshots.map(TreeIndex.init)
        linked = Array(repeating: [:], count: snapshots.count)
        guard watched else { return }
        for (tree, snapshot) in snapshots.enumerated() {
            let filesystem = try FileHandle.filesystem(of: roots[tree]).id
            for (number, folder) in snapshot.folders.enumerated() {
                let path = snapshot.path(Int(folder.entry))
                // A folder that is gone since was told of by the watch.
                let handle = path.withPath { FileHandle.of($0, in: roots[tree], filesystem: filesystem) }
                if let handle { handles[handle] = (tree, Int32(number)) }
            }
        }
    }

    /// What the destination is known to hold of a path.
    mutating func entry(_ tree: Int, _ path: [UInt8]) -> TreeSnapshot.Entry? {
        trees[tree].find(path).map { trees[tree].snapshot.entries[$0] }
    }

    /// The paths of an entry and all below it; none if it isn't there.
    mutating func subtree(_ tree: Int, _ path: [UInt8]) -> [[UInt8]] {
        guard let top = trees[tree].find(path) else { return [] }
        return trees[tree].snapshot.subtree(top).map(trees[tree].snapshot.path)
    }

    /// The changes that a watch saw since these snapshots.
    ///
    /// Asks the file system only about names that changed; new folders are walked.
    /// - Parameters:
    ///   - roots: views of the folders, open.
    ///   - mapped: files whose content may have changed without a word.
    mutating func changes(
        of seen: TreeWatch.Changes, roots: [Int32], mapped: Set<FileIdentity>
    ) throws(SystemError) -> FileChanges {
        var found = FileChanges(trees: trees.count)
        for (place, kinds) in seen.places {
            guard let (tree, folder) = handles[place.folder] else { continue }
            let own = trees[tree].snapshot.path(Int(trees[tree].snapshot.folders[Int(folder)].entry))
            if place.name == [UInt8(ascii: ".")] {
                found.add(tree, own, content: false)
                continue
            }
            if !kinds.isDisjoint(with: .names) { found.add(tree, own, content: false) }
            let path = own.isEmpty ? place.name : own + [UInt8(ascii: "/")] + place.name
            try look(tree, folder, path, place.name, roots[tree], kinds, &found)
        }
        addMapped(mapped, &found)
        addLinked(&found)
        return found
    }

    /// Adds names that are to be sent again, with all other names of the same files: a file of several names is sent as one.
    /// - Returns: those that aren't there.
    mutating func add(_ tree: Int, again paths: some Sequence<[UInt8]>, to found: inout FileChanges) -> [[UInt8]] {
        var missing: [[UInt8]] = []
        for path in paths {
            guard let entry = entry(tree, path) else {
                missing.append(path)
                continue
            }
            found.add(tree, path, content: true)
            if entry.links > 1, entry.child < 0 { linked[tree][entry.inode] = true }
        }
        addLinked(&found)
        return missing
    }

    /// Whatever their number of links in the snapshot: a name may have come after the others were looked at, and the kernel tells of a
    /// new name only, not of the other ones of the file.
    private mutating func addLinked(_ found: inout FileChanges) {
        for (tree, inodes) in linked.enumerated() where !inodes.isEmpty {
            let snapshot = trees[tree].snapshot
            for (number, entry) in snapshot.entries.enumerated() where entry.child < 0 {
                if let content = inodes[entry.inode] { found.add(tree, snapshot.path(number), content: content) }
            }
            linked[tree] = [:]
        }
    }

    private mutating func noteLinked(_ tree: Int, _ inode: UInt64, content: Bool) {
        linked[tree][inode] = linked[tree][inode] == true || content
    }

    private mutating func look(
        _ tree: Int, _ folder: Int32, _ path: [UInt8], _ name: [UInt8], _ root: Int32, _ kinds: FilesystemWatch.Kinds,
        _ found: inout FileChanges
    ) throws(SystemError) {
        let content = kinds != .attributes
        let before = trees[tree].child(folder, name).map { trees[tree].snapshot.entries[$0] }
        if let before, before.links > 1, before.child < 0 { noteLinked(tree, before.inode, content: content) }
        guard let entry = try HeldEntry.find(path, below: root) else { return found.remove(tree, path) }
        if entry.kind != LINUX_S_IFDIR {
            if entry.details.links > 1 { noteLinked(tree, entry.details.inode, content: content) }
            return found.add(tree, path, content: content)
        }
        // The kernel uses inode numbers again at once: a name that came is another folder, whatever its number.
        let came = !kinds.isDisjoint(with: [.create, .movedTo])
        if let before, before.child >= 0, before.inode == entry.details.inode, !came {
            return found.add(tree, path, content: false)
        }
        // A folder that wasn't there: all of it is new, and of what stood there nothing stays.
        found.remove(tree, path)
        try walk(tree, path, root, &found)
    }

    private mutating func walk(_ tree: Int, _ path: [UInt8], _ root: Int32, _ found: inout FileChanges) throws(SystemError) {
        var pending = [path]
        while let folder = pending.popLast() {
            found.addNew(tree, folder)
            let opened = folder.withPath { linux_open_beneath(root, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) }
            if [-Int(ENOENT), -Int(ENOTDIR), -Int(ELOOP)].contains(opened) { continue }
            let descriptor = OwnedDescriptor(taking: Int32(try kernelResult("openat2", folder.shownPath, opened)))
            for name in try TreeRemoval.names(descriptor.raw, folder.shownPath) {
                let child = folder + [UInt8(ascii: "/")] + name.dropLast().map { UInt8(bitPattern: $0) }
                var state = linux_file_state()
                guard name.withUnsafeBufferPointer({ linux_file_state(descriptor.raw, $0.baseAddress!, 0, &state) }) == 0 else {
                    continue
                }
                if state.mode & LINUX_S_IFMT == LINUX_S_IFDIR { pending.append(child) } else { found.addNew(tree, child) }
                if state.links > 1 && state.mode & LINUX_S_IFMT != LINUX_S_IFDIR { noteLinked(tree, state.inode, content: true) }
            }
        }
    }

    private func addMapped(_ mapped: Set<FileIdentity>, _ found: inout FileChanges) {
        guard !mapped.isEmpty else { return }
        for (tree, index) in trees.enumerated() {
            let inodes = Set(mapped.filter { $0.device == index.snapshot.device }.map(\.inode))
            guard !inodes.isEmpty else { continue }
            for (number, entry) in index.snapshot.entries.enumerated() where entry.child < 0 && inodes.contains(entry.inode) {
                found.add(tree, index.snapshot.path(number), content: true)
            }
        }
    }
}

/// Paths that may differ, each once.
struct FileChanges: Sendable {
    /// By tree: true if content may differ.
    private(set) var changed: [[[UInt8]: Bool]]
    /// New ones, of which nothing at the destination counts.
    private(set) var new: [Set<[UInt8]>]
    private(set) var removed: [Set<[UInt8]>]

    init(trees: Int) {
        changed = Array(repeating: [:], count: trees)
        new = Array(repeating: [], count: trees)
        removed = Array(repeating: [], count: trees)
    }

    mutating func add(_ tree: Int, _ path: [UInt8], content: Bool) {
        changed[tree][path] = changed[tree][path] == true || content
    }
    mutating func addNew(_ tree: Int, _ path: [UInt8]) {
        add(tree, path, content: true)
        new[tree].insert(path)
    }
    mutating func remove(_ tree: Int, _ path: [UInt8]) { removed[tree].insert(path) }

    /// The folders of all names: making or replacing one at the destination moves its folder's time.
    /// - Parameter exists: whether a folder is known; the others aren't added.
    mutating func addParents(_ exists: (Int, [UInt8]) -> Bool) {
        let slash = UInt8(ascii: "/")
        for tree in changed.indices {
            var parents = Set<[UInt8]>()
            for path in changed[tree].keys where !path.isEmpty {
                parents.insert(path.lastIndex(of: slash).map { Array(path[..<$0]) } ?? [])
            }
            for path in removed[tree] { parents.insert(path.lastIndex(of: slash).map { Array(path[..<$0]) } ?? []) }
            for path in parents where exists(tree, path) { add(tree, path, content: false) }
        }
    }

    var count: Int { changed.reduce(0) { $0 + $1.count } }
    var isEmpty: Bool { count == 0 && removed.allSatisfy(\.isEmpty) }

    /// In the order in which they're carried out: what goes first, then folders before what is in them.
    func inOrder(_ old: (Int, [UInt8]) -> TreeSnapshot.Entry?) -> (removed: [(folder: Int, path: [UInt8])], changes: [FileChange])
    {
        var removals: [(folder: Int, path: [UInt8])] = [], changes: [FileChange] = []
        for tree in changed.indices {
            removals += removed[tree].sorted { $0.lexicographicallyPrecedes($1) }.map { (tree, $0) }
            for (path, content) in changed[tree].sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
                changes.append(
                    FileChange(folder: tree, path: path, old: new[tree].contains(path) ? nil : old(tree, path), content: content))
            }
        }
        return (removals, changes)
    }
}
