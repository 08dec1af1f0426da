import CLinux
import Glibc
public import Host

/// Where a carried tmpfs is found by this host: mounted at a folder of a migration's own, at both ends.
public enum TmpfsPlace {
    /// Shows a container's tmpfs at a folder of this host, to be read: open_tree(2) in the container's mount namespace, move_mount(2) in
    /// ours. Linux 5.12 (mount_setattr), CAP_SYS_ADMIN.
    /// - Parameters:
    ///   - pid: a process of the container.
    ///   - folder: exists.
    /// - Throws: ESTALE if something else is there by now.
    public static func show(_ tmpfs: CarriedTmpfs, of pid: Int32, at folder: String) throws(SystemError) {
        let point = tmpfs.point
        let tree = try Namespaces.run(in: ["mnt"], of: pid) { () throws(SystemError) in
            let root = try OwnedDescriptor(opening: "/", flags: LINUX_O_PATH | O_DIRECTORY)
            // Through no link: the container could lead the name to another of its mounts meanwhile.
            let opened = linux_open_beneath(root.raw, String(point.dropFirst()), LINUX_O_PATH | O_DIRECTORY | O_NOFOLLOW)
            let place = OwnedDescriptor(taking: Int32(try kernelResult("openat2", point, opened)))
            let flags = LINUX_OPEN_TREE_CLONE | LINUX_OPEN_TREE_CLOEXEC | UInt32(LINUX_AT_EMPTY_PATH)
            let tree = linux_open_tree(place.raw, "", flags)
            return SharedDescriptor(OwnedDescriptor(taking: Int32(try kernelResult("open_tree", point, tree))))
        }
        guard try FileHandle.filesystem(of: tree.raw).type == tmpfsMagic else {
            throw SystemError(call: "open_tree", subject: point, errno: ESTALE, hint: "it is no tmpfs any more")
        }
        let attributes =
            LINUX_MOUNT_ATTR_RDONLY | LINUX_MOUNT_ATTR_NOSUID | LINUX_MOUNT_ATTR_NODEV | LINUX_MOUNT_ATTR_NOEXEC
            | LINUX_MOUNT_ATTR_NOSYMFOLLOW
        try kernelResult("mount_setattr", point, linux_mount_setattr(tree.raw, "", LINUX_AT_EMPTY_PATH, attributes, 0))
        try kernelResult(
            "move_mount", folder, linux_move_mount(tree.raw, "", AT_FDCWD, folder, LINUX_MOVE_MOUNT_F_EMPTY_PATH))
    }

    /// Makes an empty one, with room to be filled.
    /// - Parameter folder: exists.
    public static func make(_ tmpfs: CarriedTmpfs, at folder: String) throws(SystemError) {
        var tmpfs = tmpfs
        var result = mount(tmpfs, folder, roomy: true)
        if result == -Int(EINVAL), tmpfs.huge != nil {  // a kernel without huge pages
            tmpfs.huge = nil
            result = mount(tmpfs, folder, roomy: true)
        }
        try kernelResult("mount", folder, result)
    }

    /// Filled: gives it the limits that the container knows.
    public static func limit(_ tmpfs: CarriedTmpfs, at folder: String) throws(SystemError) {
        var limits = tmpfs
        limits.huge = nil
        guard limits.sizeKiB != nil || limits.inodes != nil else { return }
        try kernelResult("remount", folder, mount(limits, folder, roomy: false, LINUX_MS_REMOUNT))
    }

    private static func mount(_ tmpfs: CarriedTmpfs, _ folder: String, roomy: Bool, _ more: UInt = 0) -> Int {
        let flags = LINUX_MS_NOSUID | LINUX_MS_NODEV | LINUX_MS_NOEXEC | more
        return linux_mount(tmpfs.source, folder, "tmpfs", flags, tmpfs.options(roomy: roomy))
    }

    /// Takes away what `show` or `make` mounted; a container that has it as well keeps it.
    public static func remove(_ folder: String) { while linux_umount(folder, LINUX_MNT_DETACH) >= 0 {} }

    private static let tmpfsMagic: UInt64 = 0x0102_1994
}
