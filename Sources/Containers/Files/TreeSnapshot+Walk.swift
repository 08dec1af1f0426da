import CLinux
import Glibc
public import Host
import Model

extension TreeSnapshot {
    /// Two ticks of the slowest kernel clock (HZ=100), and the ctime of a write is taken before the write ends.
    private static let tick: Int64 = 20_000_000

    /// Walks a tree. Entries that vanish meanwhile are left out.
    ///
    /// Costs about 2 µs an entry on one thread with warm caches (measured; benchmark in the tests).
    /// - Parameter skipping: relative paths of folders that are listed without their content.
    public static func take(of view: borrowing FolderView, skipping: [String] = []) throws(SystemError) -> TreeSnapshot {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &now)
        var walk = TreeWalk(reserving: 4096)
        try walk.run(view, skipping: skipping.map { Array($0.utf8) + [0] })
        return TreeSnapshot(
            entries: walk.entries, folders: walk.folders, names: walk.names,
            freshFrom: Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec) - tick, device: walk.device,
            allocated: ByteCount(Int(walk.blocks) * 512))
    }
}

/// The state of one walk: breadth first, so that the entries of a folder stand side by side.
private struct TreeWalk {
    var entries: [TreeSnapshot.Entry] = []
    var folders: [TreeSnapshot.Folder] = []
    var names: [UInt8] = []
    var blocks: UInt64 = 0
    var device: UInt64 = 0
    private var buffer = [UInt8](repeating: 0, count: 256 << 10)

    init(reserving count: Int) {
        entries.reserveCapacity(count)
        names.reserveCapacity(count * 16)
    }

    mutating func run(_ view: borrowing FolderView, skipping: [[UInt8]]) throws(SystemError) {
        var state = linux_file_state()
        try kernelResult("statx", view.path, linux_file_state(view.folder.raw, "", LINUX_AT_EMPTY_PATH, &state))
        device = FileIdentity(state).device
        append(state, nameOffset: 0, nameLength: 0, folder: -1, isFolder: true)
        // A descriptor of its own: the kernel keeps the reading position with it.
        let root = linux_openat(view.folder.raw, ".", O_RDONLY | O_DIRECTORY, 0)
        let top = OwnedDescriptor(taking: Int32(try kernelResult("openat", view.path, root)))
        try list(0, top.raw, view.path)
        var next = 1
        while next < folders.count {
            defer { next += 1 }
            let path = pathOf(Int(folders[next].entry))
            if skipping.contains(path) { continue }
            let opened = path.withUnsafeBufferPointer { bytes in
                bytes.withMemoryRebound(to: CChar.self) {
                    linux_open_beneath(view.folder.raw, $0.baseAddress!, O_RDONLY | O_DIRECTORY)
                }
            }
            // Vanished, or replaced by a file or a link since it was listed: the next snapshot will tell.
            if opened == -Int(ENOENT) || opened == -Int(ENOTDIR) || opened == -Int(ELOOP) || opened == -Int(ESTALE) { continue }
            let folder = OwnedDescriptor(
                taking: Int32(
                    try kernelResult(
                        "openat2", view.path + "/" + String(decoding: path.dropLast(), as: UTF8.self), opened)))
            try list(next, folder.raw, view.path)
        }
    }

    private mutating func append(
        _ state: linux_file_state, nameOffset: Int, nameLength: Int, folder: Int32, isFolder: Bool
    ) {
        let index = Int32(entries.count)
        entries.append(
            TreeSnapshot.Entry(
                inode: state.inode, size: state.size, ctime: state.ctime, mtime: state.mtime,
                nameOffset: UInt32(nameOffset), folder: folder, child: isFolder ? Int32(folders.count) : -1,
                links: isFolder ? 1 : state.links,  // a folder's count follows its subfolders, which are seen by themselves
                mode: UInt16(truncatingIfNeeded: state.mode), nameLength: UInt16(nameLength)))
        blocks += state.blocks
        if isFolder { folders.append(TreeSnapshot.Folder(entry: index, first: 0, count: 0)) }
    }

    /// Reads one folder's entries and their states.
    private mutating func list(_ folder: Int, _ descriptor: Int32, _ path: String) throws(SystemError) {
        let first = entries.count
        while true {
            let result = buffer.withUnsafeMutableBytes { linux_getdents(descriptor, $0.baseAddress, $0.count) }
            // ENOENT: the open folder was removed.
            let filled = result == -Int(ENOENT) ? 0 : try kernelResult("getdents64", path, result)
            if filled == 0 { break }
            var at = 0
            while at < filled {
                at += try addEntry(at: at, folder: folder, descriptor, path)
            }
        }
        folders[folder].first = Int32(first)
        folders[folder].count = Int32(entries.count - first)
    }

    /// Adds the raw entry at an offset of the buffer.
    /// - Returns: its length there.
    private mutating func addEntry(at: Int, folder: Int, _ descriptor: Int32, _ path: String) throws(SystemError) -> Int {
        let nameStart = 19  // u64 inode, i64 offset, u16 length, u8 type
        var state = linux_file_state()
        let (length, nameLength, result) = buffer.withUnsafeBytes { raw in
            let length = Int(raw.loadUnaligned(fromByteOffset: at + 16, as: UInt16.self))
            let name = raw.baseAddress! + at + nameStart
            let nameLength = strlen(name.assumingMemoryBound(to: CChar.self))
            let first = name.load(as: UInt8.self)
            let isDot =
                first == UInt8(ascii: ".")
                && (nameLength == 1 || (nameLength == 2 && name.load(fromByteOffset: 1, as: UInt8.self) == first))
            if isDot { return (length, 0, 0) }
            return (length, nameLength, linux_file_state(descriptor, name.assumingMemoryBound(to: CChar.self), 0, &state))
        }
        if nameLength == 0 || result == -Int(ENOENT) { return length }
        try kernelResult("statx", path, result)
        let offset = names.count
        names.append(contentsOf: buffer[at + nameStart..<at + nameStart + nameLength])
        append(
            state, nameOffset: offset, nameLength: nameLength, folder: Int32(folder),
            isFolder: state.mode & LINUX_S_IFMT == LINUX_S_IFDIR)
        return length
    }

    /// Relative path of an entry, ended by a zero byte.
    private func pathOf(_ index: Int) -> [UInt8] {
        var path: [UInt8] = [0]
        var at = index
        while at != 0 {
            let entry = entries[at]
            let start = Int(entry.nameOffset)
            path.insert(contentsOf: names[start..<start + Int(entry.nameLength)], at: 0)
            at = Int(folders[Int(entry.folder)].entry)
            if at != 0 { path.insert(UInt8(ascii: "/"), at: 0) }
        }
        return path
    }
}
