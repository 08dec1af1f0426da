import CLinux
import Glibc
public import Host

/// Starts a program that sees only given folders and the system's programs.
///
/// rsync speaks to a peer that isn't trusted with this host, and on the source it reads a tree whose owner, the
/// container, is busy exchanging folders for symbolic links. So it runs in a mount namespace of its own, whose root is
/// a small read-only tmpfs with
/// - `/tree/0`, `/tree/1`, ...: the given folders, each a view without its submounts, without device access,
///   set-user-ID, execution, or following of symbolic links (MOUNT_ATTR_NOSYMFOLLOW, Linux 5.10);
/// - `/usr` and the libraries, read-only, and `/dev/null`.
///
/// Nothing else of the host can be named, neither by `..` nor by an absolute link. On top of it: landlock where the
/// kernel has it (no mount, no TCP, writing below /tree only), no new privileges, and only the capabilities for owners,
/// modes, device nodes and attributes. Proved by the tests with peers that misbehave.
///
/// Mount namespace, root, capabilities and landlock belong to a *thread* in Linux: a thread of ours takes them on, starts the
/// program and ends; no fork and no helper program are needed. Needs CAP_SYS_ADMIN, Linux 5.12 (mount_setattr).
public struct Confinement: Sendable {
    public enum Access: Sendable { case readOnly, readWrite }

    /// Absolute paths of folders; number n appears as `/tree/n`.
    public var folders: [String]
    public var access: Access

    public init(folders: [String], access: Access) {
        self.folders = folders
        self.access = access
    }

    /// Path of a folder inside.
    public static func inside(_ index: Int) -> String { "/tree/\(index)" }

    /// Starts the program there.
    /// - Parameter spawn: `program` and `workingDirectory` are paths inside. An environment of nil becomes a minimal one.
    /// - Returns: the child of this process.
    public func start(_ spawn: Spawn) throws(SystemError) -> ChildProcess {
        let confinement = self
        let result = try Thread.run(named: "confine") { () -> Result<ChildProcess, SystemError> in
            do throws(SystemError) {
                try confinement.enter()
                var spawn = spawn
                spawn.environment = spawn.environment ?? ["PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC0"]
                return .success(try spawn.start())
            } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// Confines the calling thread, for ever.
    private func enter() throws(SystemError) {
        // Everything is taken hold of before the new root hides it.
        let system = try SystemFolders()
        var views: [Int32] = []
        defer { for view in views { close(view) } }
        for folder in folders {
            let view = try FolderView.cloneMount(folder)
            views.append(view.release())
        }
        try kernelResult("unshare", "mount namespace", linux_unshare(UInt(LINUX_CLONE_NEWNS)))
        try kernelResult("mount", "/ as private", linux_mount("none", "/", nil, LINUX_MS_REC | LINUX_MS_PRIVATE, nil))
        let root = "/tmp"  // any folder that surely exists; only this thread sees what it becomes
        try kernelResult(
            "mount", "tmpfs", linux_mount("tmpfs", root, "tmpfs", LINUX_MS_NOSUID | LINUX_MS_NODEV, "mode=755,size=64k"))
        try system.attach(root)
        try makeFolder("\(root)/tree")
        for (index, view) in views.enumerated() {
            let place = root + Self.inside(index)
            try makeFolder(place)
            var attributes =
                LINUX_MOUNT_ATTR_NOSUID | LINUX_MOUNT_ATTR_NODEV | LINUX_MOUNT_ATTR_NOEXEC | LINUX_MOUNT_ATTR_NOSYMFOLLOW
            if access == .readOnly { attributes |= LINUX_MOUNT_ATTR_RDONLY | LINUX_MOUNT_ATTR_NOATIME }
            try attach(view, at: place, attributes, clearing: access == .readOnly ? LINUX_MOUNT_ATTR__ATIME : 0)
        }
        try kernelResult("chdir", root, chdir(root) < 0 ? -Int(errno) : 0)
        try kernelResult("pivot_root", root, linux_pivot_root(".", "."))
        try kernelResult("umount", "old root", linux_umount(".", LINUX_MNT_DETACH))
        try kernelResult("chdir", "/", chdir("/") < 0 ? -Int(errno) : 0)
        try kernelResult(
            "mount", "/ read-only",
            linux_mount(nil, "/", nil, LINUX_MS_REMOUNT | LINUX_MS_BIND | LINUX_MS_RDONLY | LINUX_MS_NOSUID | LINUX_MS_NODEV, nil)
        )
        try Privileges.landlock(writable: access == .readWrite ? folders.indices.map(Self.inside) : [])
        try Privileges.drop()
    }
}

private func makeFolder(_ path: String) throws(SystemError) {
    try kernelResult("mkdir", path, linux_mkdirat(AT_FDCWD, path, 0o755))
}

private func attach(_ tree: Int32, at place: String, _ set: UInt64, clearing: UInt64 = 0) throws(SystemError) {
    try kernelResult("mount_setattr", place, linux_mount_setattr(tree, "", LINUX_AT_EMPTY_PATH, set, clearing))
    try kernelResult("move_mount", place, linux_move_mount(tree, "", AT_FDCWD, place, LINUX_MOVE_MOUNT_F_EMPTY_PATH))
}

/// The folders from which programs and libraries come: real ones, or the links of a merged /usr.
private struct SystemFolders: ~Copyable {
    private var trees: [(path: String, tree: Int32)] = []
    private var links: [(path: String, target: String)] = []
    private var nothing: Int32 = -1

    init() throws(SystemError) {
        let null = try FolderView.cloneMount("/dev/null")
        nothing = null.release()
        for path in ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/gnu", "/nix"] {
            var state = linux_file_state()
            guard linux_file_state(AT_FDCWD, path, 0, &state) == 0 else { continue }
            if state.mode & LINUX_S_IFMT == LINUX_S_IFLNK {
                links.append((path, try FileIO.readLink(path)))
            } else if state.mode & LINUX_S_IFMT == LINUX_S_IFDIR {
                let tree = try FolderView.cloneMount(path)
                trees.append((path, tree.release()))
            }
        }
    }

    deinit {
        for tree in trees { close(tree.tree) }
        if nothing >= 0 { close(nothing) }
    }

    borrowing func attach(_ root: String) throws(SystemError) {
        for (path, tree) in trees {
            try makeFolder(root + path)
            try Containers.attach(
                tree, at: root + path, LINUX_MOUNT_ATTR_RDONLY | LINUX_MOUNT_ATTR_NOSUID | LINUX_MOUNT_ATTR_NODEV)
        }
        try makeFolder(root + "/dev")
        try kernelResult("mknod", "/dev/null", mknod(root + "/dev/null", 0o600 | mode_t(LINUX_S_IFREG), 0) < 0 ? -Int(errno) : 0)
        try Containers.attach(nothing, at: root + "/dev/null", LINUX_MOUNT_ATTR_NOSUID | LINUX_MOUNT_ATTR_NOEXEC)
        for (path, target) in links {
            try kernelResult("symlink", path, symlink(target, root + path) < 0 ? -Int(errno) : 0)
        }
    }
}
