/// Memory that processes share and that has no name in a file system: a memfd, what MAP_SHARED|MAP_ANONYMOUS gives, or a System V segment.
///
/// Its pages travel as those of a space of its own, at addresses from `base` on.
public struct SharedObject: Hashable, Sendable, Codable {
    public var space: SpaceID
    public var base: UInt64
    public var bytes: ByteCount
    /// Its number on the kernel's own tmpfs at the source, by which CRIU's images name it (criu/memfd.c, shmid).
    public var inode: UInt64
    /// As memfd_create(2) got it.
    public var name: String
    /// Made with MFD_ALLOW_SEALING.
    public var isSealable: Bool
    /// As the host counts them: a container in a user namespace may set only what is its own.
    public var owner: UInt32
    public var group: UInt32
    /// What makes it a System V segment.
    public var segment: Segment?

    /// shmget(2), shmctl(2).
    public struct Segment: Hashable, Sendable, Codable {
        /// Also its number on the kernel's tmpfs (ipc/shm.c, newseg), where it may be another object's too.
        public var id: Int32
        public var key: Int32
        /// Removed already, and there until the last process detaches it.
        public var isDoomed: Bool
        public init(id: Int32, key: Int32, isDoomed: Bool) { (self.id, self.key, self.isDoomed) = (id, key, isDoomed) }
    }

    public init(
        space: SpaceID, base: UInt64, bytes: ByteCount, inode: UInt64, name: String, isSealable: Bool, owner: UInt32 = 0,
        group: UInt32 = 0, segment: Segment? = nil
    ) {
        self.segment = segment
        (self.space, self.base, self.bytes, self.inode) = (space, base, bytes, inode)
        (self.name, self.isSealable, self.owner, self.group) = (name, isSealable, owner, group)
    }

    /// Spaces of shared objects are numbered from here on; those of processes below.
    public static let firstSpace: UInt32 = 0xc000_0000
}

extension SpaceID {
    /// Whether it is a shared object's.
    public var isShared: Bool { rawValue >= SharedObject.firstSpace }
}
