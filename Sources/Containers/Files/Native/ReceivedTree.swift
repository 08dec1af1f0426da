import CLinux
import Glibc
import Host

/// One folder of the destination, written by an untrusted peer.
///
/// The folder is held as a view of its own (open_tree(2)) without submounts, device access, set-user-ID, execution and symbolic links.
/// Every path is split here; its folders are opened by openat2 (Linux 5.6) beneath the view through no link, and the last name is
/// used only with calls that follow none. Renaming folders under our hands leads nowhere else, because every lookup begins at the
/// view and the kernel refuses to leave it.
struct ReceivedTree: Sendable {
    private let path: String
    private let view: SharedDescriptor
    private let root: SharedDescriptor
    /// The folder used last: entries come folder by folder.
    private var last: (path: [UInt8], folder: SharedDescriptor)?

    private static let pathOnly: Int32 = 0o10000000

    init(_ path: String) throws(SystemError) {
        let view = try FolderView.cloneMount(path)
        let attributes =
            LINUX_MOUNT_ATTR_NOSUID | LINUX_MOUNT_ATTR_NODEV | LINUX_MOUNT_ATTR_NOEXEC | LINUX_MOUNT_ATTR_NOSYMFOLLOW
        try kernelResult("mount_setattr", path, linux_mount_setattr(view.raw, "", LINUX_AT_EMPTY_PATH, attributes, 0))
        let root = try kernelResult("openat", path, linux_openat(view.raw, ".", O_RDONLY | O_DIRECTORY, 0))
        self.root = SharedDescriptor(OwnedDescriptor(taking: Int32(root)))
        self.view = SharedDescriptor(view)
        self.path = path
    }

    /// Folders may be replaced from here on.
    mutating func forget() { last = nil }

    /// Splits a path into its folder and its last name.
    /// - Throws: EPERM for a path that isn't a plain relative one.
    static func split(_ path: [UInt8]) throws(SystemError) -> (folder: [UInt8], name: [UInt8]) {
        let slash = UInt8(ascii: "/"), dot = UInt8(ascii: ".")
        let names = path.split(separator: slash, omittingEmptySubsequences: false)
        for name in names {
            guard !name.isEmpty, name.count < 256, !name.contains(0), !name.elementsEqual([dot]), !name.elementsEqual([dot, dot])
            else {
                throw SystemError(call: "file stream", subject: path.shownPath, errno: EPERM, hint: "not a path below the folder")
            }
        }
        return (Array(path[..<max(path.count - names.last!.count - 1, 0)]), Array(names.last!))
    }

    /// Opens the folder that holds an entry.
    private mutating func parent(_ path: [UInt8]) throws(SystemError) -> (folder: Int32, name: [UInt8]) {
        let (folder, name) = try Self.split(path)
        if let last, last.path == folder { return (last.folder.raw, name) }
        if folder.isEmpty { return (root.raw, name) }
        let opened = folder.withPath { linux_open_inside(root.raw, $0, Self.pathOnly | O_DIRECTORY | O_NOFOLLOW, 0) }
        let descriptor = OwnedDescriptor(taking: Int32(try kernelResult("openat2", shown(folder), opened)))
        let shared = SharedDescriptor(descriptor)
        last = (folder, shared)
        return (shared.raw, name)
    }

    private func shown(_ relative: [UInt8]) -> String { "\(path)/\(relative.shownPath)" }

    // MARK: - Names

    /// Removes an entry with all below it; one that isn't there is fine.
    mutating func remove(_ path: [UInt8]) throws(SystemError) {
        let place: (folder: Int32, name: [UInt8])
        do { place = try parent(path) } catch {
            // The folder is gone, or is none any more: nothing of that name is there.
            if error.errno == ENOENT || error.errno == ENOTDIR { return }
            throw error
        }
        try clear(place.folder, place.name, path)
    }

    private mutating func clear(_ folder: Int32, _ name: [UInt8], _ path: [UInt8]) throws(SystemError) {
        let removed = name.withPath { linux_unlinkat(folder, $0, 0) }
        if removed == 0 || removed == -Int(ENOENT) { return }
        guard removed == -Int(EISDIR) || removed == -Int(EPERM) else {
            try kernelResult("unlink", shown(path), removed)
            return
        }
        let keeper = last  // the folder's descriptor stays open while it's used
        defer { _ = keeper }
        last = nil
        let opened = name.withPath { linux_open_inside(folder, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) }
        let child = OwnedDescriptor(taking: Int32(try kernelResult("openat2", shown(path), opened)))
        guard try TreeRemoval.empty(child.raw, shown(path)) else {
            throw SystemError(call: "remove", subject: shown(path), errno: EBUSY)
        }
        try kernelResult("rmdir", shown(path), name.withPath { linux_unlinkat(folder, $0, 0x200 /* AT_REMOVEDIR */) })
    }

    /// Makes a folder unless it's there; what else is there goes away.
    /// - Parameter fresh: an empty one, whatever is there.
    mutating func makeFolder(_ path: [UInt8], fresh: Bool = false) throws(SystemError) {
        if path.isEmpty { return }
        if fresh { try remove(path) }
        for _ in 0..<2 {
            let (folder, name) = try parent(path)
            let made = name.withPath { linux_mkdirat(folder, $0, 0o700) }
            if made == 0 { return }
            guard made == -Int(EEXIST) else {
                try kernelResult("mkdir", shown(path), made)
                return
            }
            let opened = name.withPath { linux_open_inside(folder, $0, Self.pathOnly | O_DIRECTORY | O_NOFOLLOW, 0) }
            if opened >= 0 {
                close(Int32(opened))
                return
            }
            try clear(folder, name, path)
        }
        throw SystemError(call: "mkdir", subject: shown(path), errno: EEXIST)
    }

    /// Makes a symbolic link, a device node, a FIFO or a socket, in place of what is there.
    mutating func makeSpecial(_ path: [UInt8], _ metadata: FileMetadata) throws(SystemError) {
        let place = try parent(path)
        try clear(place.folder, place.name, path)
        let (folder, name) = try parent(path)
        let made: Int
        if metadata.mode & LINUX_S_IFMT == LINUX_S_IFLNK {
            guard !metadata.target.isEmpty, !metadata.target.contains(0) else {
                throw SystemError(call: "symlink", subject: shown(path), errno: EINVAL)
            }
            made = metadata.target.withPath { target in
                name.withPath { symlinkat(target, folder, $0) < 0 ? -Int(errno) : 0 }
            }
        } else {
            // Devices: their numbers are the source's; this side never opens one (the view has none).
            made = name.withPath {
                linux_make_node(folder, $0, metadata.mode & LINUX_S_IFMT | 0o600, metadata.major, metadata.minor)
            }
        }
        try kernelResult("mknod", shown(path), made)
        try setSpecial(folder, name, metadata, path)
    }

    private func setSpecial(_ folder: Int32, _ name: [UInt8], _ metadata: FileMetadata, _ path: [UInt8]) throws(SystemError) {
        let opened = name.withPath { linux_openat(folder, $0, Self.pathOnly | O_NOFOLLOW, 0) }
        let handle = OwnedDescriptor(taking: Int32(try kernelResult("openat", shown(path), opened)))
        try kernelResult("chown", shown(path), name.withPath { linux_set_owner(folder, $0, metadata.user, metadata.group) })
        try ReceivedFile.setAttributes(handle.raw, metadata, shown(path))
        if metadata.mode & LINUX_S_IFMT != LINUX_S_IFLNK {
            let changed = chmod("/proc/self/fd/\(handle.raw)", metadata.mode & 0o7777)
            try kernelResult("chmod", shown(path), changed < 0 ? -Int(errno) : 0)
        }
        try kernelResult("utimensat", shown(path), name.withPath { linux_set_times(folder, $0, metadata.modified) })
    }

    /// Makes a further name of an entry of this folder.
    mutating func link(_ path: [UInt8], to first: [UInt8]) throws(SystemError) {
        let (firstFolder, firstName) = try Self.split(first)
        let opened =
            firstFolder.isEmpty
            ? linux_openat(root.raw, ".", Self.pathOnly | O_DIRECTORY, 0)
            : firstFolder.withPath { linux_open_inside(root.raw, $0, Self.pathOnly | O_DIRECTORY | O_NOFOLLOW, 0) }
        let from = OwnedDescriptor(taking: Int32(try kernelResult("openat2", shown(first), opened)))
        var wanted = linux_file_state(), here = linux_file_state()
        try kernelResult("statx", shown(first), firstName.withPath { linux_file_state(from.raw, $0, 0, &wanted) })
        let place = try parent(path)
        if place.name.withPath({ linux_file_state(place.folder, $0, 0, &here) }) == 0 {
            if here.inode == wanted.inode && here.major == wanted.major && here.minor == wanted.minor { return }
            try clear(place.folder, place.name, path)
        }
        let (folder, name) = try parent(path)
        // Without AT_SYMLINK_FOLLOW: a symbolic link is linked itself.
        try kernelResult(
            "link", shown(path), firstName.withPath { old in name.withPath { linux_make_link(from.raw, old, folder, $0) } })
    }

    // MARK: - Content and metadata

    /// Opens a regular file to be written, a new one or the one that is there.
    mutating func openFile(_ path: [UInt8], _ metadata: FileMetadata, _ flags: FileOperation.Flags) throws(SystemError)
        -> ReceivedFile
    {
        var (folder, name) = try parent(path)
        if flags.contains(.fresh) {
            try clear(folder, name, path)
            (folder, name) = try parent(path)
        }
        let mode: Int32 = flags.contains(.fresh) ? O_CREAT | O_EXCL : O_NONBLOCK
        let opened = name.withPath {
            linux_open_inside(folder, $0, O_RDWR | O_NOFOLLOW | mode, flags.contains(.fresh) ? 0o600 : 0)
        }
        let file = OwnedDescriptor(taking: Int32(try kernelResult("openat2", shown(path), opened)))
        return try ReceivedFile(file, shown(path), metadata, flags)
    }

    /// Sets a folder's metadata, when nothing changes in it any more.
    mutating func setFolder(_ path: [UInt8], _ metadata: FileMetadata) throws(SystemError) {
        let opened: Int
        if path.isEmpty {
            opened = linux_openat(root.raw, ".", O_RDONLY | O_DIRECTORY, 0)
        } else {
            let (folder, name) = try parent(path)
            opened = name.withPath { linux_open_inside(folder, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) }
        }
        let folder = OwnedDescriptor(taking: Int32(try kernelResult("openat2", shown(path), opened)))
        try ReceivedFile.setAll(folder.raw, metadata, shown(path))
    }

    /// Hashes of a regular file's blocks; none if there is no such file, or if it has further names: then it can't be changed
    /// in place.
    mutating func hashes(_ path: [UInt8]) throws(SystemError) -> [UInt64] {
        let (folder, name) = try parent(path)
        let opened = name.withPath { linux_open_inside(folder, $0, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0) }
        if opened == -Int(ENOENT) { return [] }
        let file = OwnedDescriptor(taking: Int32(try kernelResult("openat2", shown(path), opened)))
        var details = linux_file_details()
        try kernelResult("fstat", shown(path), linux_file_details(file.raw, &details))
        if details.mode & LINUX_S_IFMT == LINUX_S_IFREG, details.links > 1 { return [] }
        return try ReceivedFile.hashes(file.raw, shown(path))
    }
}
