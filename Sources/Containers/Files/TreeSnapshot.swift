public import Model

/// What a file tree looked like at one moment: for each entry its inode, change time, size and mode.
///
/// Two of them tell which entries changed in between. The change time (ctime) is what makes this exact: no program
/// can set it, and content, owner, mode, extended attributes, ACLs and links all move it. Three holes are closed here:
/// - **Clock ticks.** Before Linux 6.13 two changes within one tick (up to 10 ms) leave the same ctime. An entry that
///   changed shortly before the snapshot began is therefore *fresh*: it counts as changed next time (git's index does
///   the same).
/// - **Mapped files.** A store into a shared mapping moves ctime only when the page becomes writable (`page_mkwrite`
///   → `file_update_time`, mm/memory.c), not at each store until the page is written back; on tmpfs never. Files with
///   writable shared mappings are handed to `difference(since:mapped:)` and always count as changed.
/// - **Order.** A snapshot must be taken *before* the copy that it describes: what changes during the copy then shows
///   up in the next difference.
public final class TreeSnapshot: Sendable {
    struct Entry {
        var inode: UInt64
        var size: UInt64
        var ctime: Int64
        var mtime: Int64
        var nameOffset: UInt32
        var folder: Int32
        /// Its own number as a folder, -1 for anything else.
        var child: Int32
        var links: UInt32
        var mode: UInt16
        var nameLength: UInt16

        /// All that a copy must repeat, by its traces.
        func sameState(as other: Entry) -> Bool {
            inode == other.inode && ctime == other.ctime && size == other.size && mtime == other.mtime
                && mode == other.mode && links == other.links
        }
    }

    /// Entries of one folder stand side by side.
    struct Folder {
        /// The folder's own entry.
        var entry: Int32
        var first: Int32
        var count: Int32
    }

    let entries: [Entry]
    let folders: [Folder]
    let names: [UInt8]
    /// ctime from which on an entry is fresh, nanoseconds since 1970.
    let freshFrom: Int64
    /// Device of the tree.
    let device: UInt64
    /// Allocated bytes of all entries, each hard-linked file once for each name.
    public let allocated: ByteCount

    init(entries: [Entry], folders: [Folder], names: [UInt8], freshFrom: Int64, device: UInt64, allocated: ByteCount) {
        self.entries = entries
        self.folders = folders
        self.names = names
        self.freshFrom = freshFrom
        self.device = device
        self.allocated = allocated
    }

    /// Number of entries, the root folder included.
    public var count: Int { entries.count }

    /// Path of an entry relative to the tree's root; the root itself is empty.
    func path(_ index: Int) -> [UInt8] {
        var parts: [Range<Int>] = []
        var at = index
        while at != 0 {
            let entry = entries[at]
            parts.append(Int(entry.nameOffset)..<Int(entry.nameOffset) + Int(entry.nameLength))
            at = Int(folders[Int(entry.folder)].entry)
        }
        var path: [UInt8] = []
        for part in parts.reversed() {
            if !path.isEmpty { path.append(UInt8(ascii: "/")) }
            path += names[part]
        }
        return path
    }

    /// The regular files.
    var files: [FileIdentity] {
        entries.filter { UInt32($0.mode) & 0o170000 == 0o100000 }.map { FileIdentity(device: device, inode: $0.inode) }
    }

    func name(_ index: Int) -> ArraySlice<UInt8> {
        let entry = entries[index]
        return names[Int(entry.nameOffset)..<Int(entry.nameOffset) + Int(entry.nameLength)]
    }
}

/// What changed between two snapshots, as paths relative to the tree's root, in the kernel's bytes.
public struct TreeDifference: Sendable, Hashable {
    /// New or changed in any way; with all names of a changed file that has several.
    public var changed: [[UInt8]] = []
    /// Gone; of a folder only the topmost.
    public var deleted: [[UInt8]] = []
    /// All names that are gone: `deleted` with everything that was below it, and what was below folders replaced by files.
    public var gone: [[UInt8]] = []
    /// Sizes of the changed regular files together.
    public var bytes = ByteCount.zero

    public init() {}
    public var isEmpty: Bool { changed.isEmpty && deleted.isEmpty }
}
