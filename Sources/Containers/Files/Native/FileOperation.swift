/// The words of the native file stream: what the source tells the destination to do, in order.
///
/// Each begins with eight bytes: code, flags, the folder's number (u16) and the length of a path (u32), then the path relative to
/// the folder, then what the code says. All numbers little-endian. The destination judges every path by itself (`FileReceiver`).
enum FileOperation: UInt8, Sendable {
    /// The path and all below it go away.
    case remove = 1
    /// An entry with its metadata (`FileMetadata`). Of a regular file `data` and `hole` may follow, and `done` must.
    case entry = 2
    /// u64 offset, u32 length, bytes: content of the file begun last.
    case data = 3
    /// u64 offset, u64 length: zeros.
    case hole = 4
    /// The file begun last is complete: its metadata is set.
    case done = 5
    /// u32 length and a path in the same folder: the entry is another name of that one.
    case link = 6
    /// Asks for the hashes of a file's blocks, answered by `FileAnswer.hashes`.
    case hash = 7
    /// u64 number: the pass is over; answered by `done` or `failed`.
    case end = 8

    struct Flags: OptionSet, Sendable {
        var rawValue: UInt8
        /// Replaces what is there by something new; without it the file or folder that is there is changed in place.
        static let fresh = Flags(rawValue: 1)
        /// Content follows: the file is brought to its size first.
        static let content = Flags(rawValue: 2)
    }

    /// linux/limits.h PATH_MAX; a path of the file system can't be longer, but a folder can be deeper than one path.
    static let longestPath = 64 << 10
    static let longestData = 1 << 20
    /// Of all attributes of one entry: 64 KiB a value and 64 KiB of names (linux/limits.h), with room.
    static let longestAttributes = 1 << 20
}

/// What the destination says: code, three zeros, u32 length, payload.
enum FileAnswer: UInt8, Sendable {
    /// A u64 for each block; none at all if the file can't be changed in place.
    case hashes = 1
    /// u64 number of the pass: all of it is done.
    case done = 2
    /// Text: the pass failed and is partly done.
    case failed = 3
    static let longest = 256 << 20
}

/// Blocks by which a changed file is compared with what the destination has of it.
///
/// 16 KiB: twice a page of PostgreSQL's; 8 bytes of memory for each, half a MiB for a file of 1 GiB. XXH3-64 with a fixed seed: a
/// container that makes two of its own blocks collide spoils a file of its own.
enum FileBlock {
    static let size = 16 << 10
    /// A block whose content isn't known: equal to none.
    static let unknown: UInt64 = 0
    static func count(_ size: UInt64) -> Int { Int((size + UInt64(Self.size) - 1) / UInt64(Self.size)) }
}

/// What an entry is besides content: 48 bytes, then target and attributes.
struct FileMetadata: Sendable, Hashable {
    var mode: UInt32 = 0
    var user: UInt32 = 0
    var group: UInt32 = 0
    var major: UInt32 = 0
    var minor: UInt32 = 0
    var size: UInt64 = 0
    /// Nanoseconds since 1970.
    var modified: Int64 = 0
    /// Of a symbolic link.
    var target: [UInt8] = []
    var attributes: [FileAttribute] = []
}

/// An extended attribute; ACLs are `system.posix_acl_access` and `system.posix_acl_default`.
struct FileAttribute: Sendable, Hashable {
    var name: [UInt8]
    var value: [UInt8]

    /// Spaces of names that travel. Others of `system.` belong to the file system.
    static func isMovable(_ name: [UInt8]) -> Bool {
        ["user.", "trusted.", "security."].contains { name.starts(with: $0.utf8) && name.count > $0.utf8.count }
            || name.elementsEqual("system.posix_acl_access".utf8) || name.elementsEqual("system.posix_acl_default".utf8)
    }
}
