import CLinux
import CXXHash
import Glibc
import Host

/// What tells that a bind mount's source is the same on two hosts: the same words on both.
enum BindSight {
    /// Larger files aren't read. 1 MiB: 1 ms; resolv.conf, certificates and sockets' neighbours are far smaller.
    private static let largest: UInt64 = 1 << 20
    /// Types of file systems that several hosts mount (mountinfo's names), whose source names the same thing on each. A FUSE file
    /// system counts only by its own name, because a source like `mount` says nothing.
    private static let shared: Set<String> = [
        "nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "gfs2", "ocfs2", "fuse.glusterfs", "fuse.cephfs", "beegfs", "gpfs",
    ]

    /// - Returns: nil where nothing of the kind can be told: a folder of this host, a device, a socket.
    static func of(_ path: String, mounts: [MountInfo]) -> String? {
        var state = linux_file_state()
        guard linux_file_state(AT_FDCWD, path, 0, &state) == 0 else { return nil }
        if let share = share(path, mounts) { return share }
        guard state.mode & LINUX_S_IFMT == LINUX_S_IFREG, let content = content(path) else { return nil }
        let hash = content.withUnsafeBytes { cxxhash_bytes64($0.baseAddress!, $0.count) }
        return "file \(content.count) \(String(hash, radix: 16))"
    }

    /// The folder of a shared file system that a path shows: `nfs4 server:/export/folder`.
    private static func share(_ path: String, _ mounts: [MountInfo]) -> String? {
        // Of two mounts in one place the later one is seen.
        let over = mounts.reduce(nil as MountInfo?) { best, mount in
            guard path == mount.mountPoint || path.hasPrefix(mount.mountPoint == "/" ? "/" : mount.mountPoint + "/") else {
                return best
            }
            return mount.mountPoint.utf8.count >= best?.mountPoint.utf8.count ?? 0 ? mount : best
        }
        guard let over, shared.contains(over.type) else { return nil }
        return "\(over.type) \(over.source) \(over.root) \(path.dropFirst(over.mountPoint.count))"
    }

    /// A file's bytes; nil if it's large, empty or can't be read.
    private static func content(_ path: String) -> [UInt8]? {
        guard let file = try? OwnedDescriptor(opening: path, flags: O_RDONLY | O_NONBLOCK) else { return nil }
        var details = linux_file_details()
        guard linux_file_details(file.raw, &details) == 0, details.mode & LINUX_S_IFMT == LINUX_S_IFREG,
            1...largest ~= details.size
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(details.size))
        let n = bytes.withUnsafeMutableBytes { pread(file.raw, $0.baseAddress!, $0.count, 0) }
        return n == bytes.count ? bytes : nil
    }
}
