/// Memory that processes share and that has no name in a file system: a memfd, or what MAP_SHARED|MAP_ANONYMOUS gives.
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

    public init(
        space: SpaceID, base: UInt64, bytes: ByteCount, inode: UInt64, name: String, isSealable: Bool, owner: UInt32 = 0,
        group: UInt32 = 0
    ) {
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
