import CLinux
import Glibc
public import Host

/// One folder seen without anything that is mounted in it: open_tree(2) with OPEN_TREE_CLONE.
///
/// Linux 5.2, CAP_SYS_ADMIN. A copy of the mount that holds the folder, without its submounts, attached nowhere.
/// Walking it can't cross into another file system, whatever is mounted there in the meantime, and needs no check of
/// device numbers (bind mounts of the same file system don't have their own).
public struct FolderView: ~Copyable, Sendable {
    public let path: String
    /// Keeps the copy alive: closing it dissolves the mount.
    private let tree: OwnedDescriptor
    /// The folder itself, open for reading.
    let folder: OwnedDescriptor

    /// - Throws: ENOENT, ENOTDIR; EPERM without CAP_SYS_ADMIN.
    public init(path: String) throws(SystemError) {
        let tree = try Self.cloneMount(path)
        let folder = linux_openat(tree.raw, ".", O_RDONLY | O_DIRECTORY, 0)
        let number = Int32(try kernelResult("openat", path, folder))
        self.folder = OwnedDescriptor(taking: number)
        self.tree = tree
        self.path = path
    }

    static func cloneMount(_ path: String) throws(SystemError) -> OwnedDescriptor {
        let flags = LINUX_OPEN_TREE_CLONE | LINUX_OPEN_TREE_CLOEXEC
        return OwnedDescriptor(taking: Int32(try kernelResult("open_tree", path, linux_open_tree(AT_FDCWD, path, flags))))
    }
}

/// A file wherever its names are.
public struct FileIdentity: Hashable, Sendable, Codable {
    public var device: UInt64
    public var inode: UInt64
    public init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }
    init(_ state: linux_file_state) {
        self.init(device: UInt64(state.major) << 32 | UInt64(state.minor), inode: state.inode)
    }
}
