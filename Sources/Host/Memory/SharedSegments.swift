import CLinux
import Glibc
internal import Model

/// System V shared memory of the calling thread's IPC namespace: shmget(2), shmat(2), /proc/sysvipc/shm (sysvipc(7)).
///
/// Attaching a segment moves its times and counts, so it is only done to take hold of its file by /proc/self/map_files
/// (CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE), and undone at once.
public enum SharedSegments {
    /// One line of /proc/sysvipc/shm.
    public struct Line: Hashable, Sendable {
        public var key: Int32
        public var id: Int32
        /// Permissions, 01000 (SHM_DEST), 02000 (SHM_LOCKED).
        public var mode: UInt32
        public var bytes: Int
        public var owner: UInt32
        public var group: UInt32
        public var isDoomed: Bool { mode & 0o1000 != 0 }
    }

    /// All segments of the namespace.
    public static func list() throws(SystemError) -> [Line] { parse(try FileIO.read("/proc/sysvipc/shm")) }

    /// `key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap`, after a line of headings.
    static func parse(_ text: [UInt8]) -> [Line] {
        text.split(separator: UInt8(ascii: "\n")).dropFirst().compactMap { line in
            let words = line.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
            guard words.count >= 11, let key = Int32(words[0]), let id = Int32(words[1]), let mode = UInt32(words[2], radix: 8),
                let bytes = Int(words[3]), let owner = UInt32(words[7]), let group = UInt32(words[8])
            else { return nil }
            return Line(key: key, id: id, mode: mode, bytes: bytes, owner: owner, group: group)
        }
    }

    /// A segment's file.
    /// - Throws: EINVAL or EIDRM for one that is gone.
    public static func open(_ id: Int32, bytes: Int, writing: Bool) throws(SystemError) -> OwnedDescriptor {
        let subject = "System V segment \(id)"
        let address = try check("shmat", subject, linux_shm_attach(id, writing ? 0 : 0o10000 /* SHM_RDONLY */))
        defer { _ = linux_shm_detach(UnsafeRawPointer(bitPattern: address)) }
        let end = address + (bytes + pageSize - 1) / pageSize * pageSize
        let path = "/proc/self/map_files/\(String(address, radix: 16))-\(String(end, radix: 16))"
        return try OwnedDescriptor(opening: path, flags: writing ? O_RDWR : O_RDONLY)
    }

    /// Makes a segment with a number of its own choice (/proc/sys/kernel/shm_next_id, Linux 3.9).
    /// - Throws: EEXIST if the number or the key is taken.
    public static func make(id: Int32, key: Int32, bytes: Int) throws(SystemError) -> OwnedDescriptor {
        let next = try OwnedDescriptor(opening: "/proc/sys/kernel/shm_next_id", flags: O_WRONLY)
        let text = Array("\(id)".utf8)
        try FileIO.writeAll(text.span.bytes, to: next.raw, name: "shm_next_id")
        let flags: Int32 = 0o1000 | 0o2000 | 0o600  // IPC_CREAT, IPC_EXCL
        let made = Int32(try check("shmget", "System V segment \(id)", linux_shm_get(key, bytes, flags)))
        guard made == id else {
            remove(made)
            throw SystemError(call: "shmget", subject: "System V segment \(id)", errno: EEXIST)
        }
        return try open(id, bytes: bytes, writing: true)
    }

    /// Removes a segment, or has it go with its last process.
    public static func remove(_ id: Int32) { _ = linux_shm_remove(id) }

    /// Gives the calling thread an IPC namespace of its own and tells which.
    public static func newNamespace() throws(SystemError) -> OwnedDescriptor {
        try Namespaces.unshare(.ipc)
        return try OwnedDescriptor(opening: "/proc/thread-self/ns/ipc", flags: O_RDONLY)
    }
}
