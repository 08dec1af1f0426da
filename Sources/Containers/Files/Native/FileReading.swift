import CLinux
import Glibc
import Host

/// One entry of the source's tree, held by a descriptor that is for nothing but naming it (O_PATH).
///
/// Whatever the container does with the names meanwhile, state, attributes and content come from the same entry.
struct HeldEntry: ~Copyable {
    let handle: OwnedDescriptor
    let details: linux_file_details

    /// - Returns: nil if nothing is there, or no folder of that name leads there any more.
    static func find(_ path: [UInt8], below root: Int32) throws(SystemError) -> HeldEntry? {
        let pathOnly: Int32 = 0o10000000
        let opened =
            path.isEmpty
            ? linux_openat(root, ".", pathOnly | O_DIRECTORY, 0)
            : path.withPath { linux_open_beneath(root, $0, pathOnly | O_NOFOLLOW) }
        if [-Int(ENOENT), -Int(ENOTDIR), -Int(ELOOP), -Int(ESTALE)].contains(opened) { return nil }
        let handle = OwnedDescriptor(taking: Int32(try kernelResult("openat2", path.shownPath, opened)))
        var details = linux_file_details()
        try kernelResult("fstatat", path.shownPath, linux_file_details(handle.raw, &details))
        return HeldEntry(handle: handle, details: details)
    }

    var kind: UInt32 { details.mode & LINUX_S_IFMT }
    var identity: FileIdentity { FileIdentity(device: details.device, inode: details.inode) }

    /// The same entry by a path: a link that leads to it and nowhere else.
    private var path: String { "/proc/self/fd/\(handle.raw)" }

    /// Opens a regular file for reading.
    borrowing func openForReading() throws(SystemError) -> OwnedDescriptor {
        try OwnedDescriptor(opening: path, flags: O_RDONLY | 0o1000000 /* O_NOATIME */)
    }

    borrowing func metadata() throws(SystemError) -> FileMetadata {
        var metadata = FileMetadata(
            mode: details.mode, user: details.user, group: details.group, major: details.major, minor: details.minor,
            size: kind == LINUX_S_IFREG ? details.size : 0, modified: details.mtime)
        if kind == LINUX_S_IFLNK { metadata.target = try target() }
        metadata.attributes = try Self.attributes(path)
        return metadata
    }

    private borrowing func target() throws(SystemError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let n = buffer.withUnsafeMutableBytes {
            readlinkat(handle.raw, "", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        try kernelResult("readlinkat", "a symbolic link", n < 0 ? -Int(errno) : n)
        return Array(buffer[..<n])
    }

    /// All attributes of an entry that travel; those that vanish meanwhile are left out.
    static func attributes(_ path: String) throws(SystemError) -> [FileAttribute] {
        let size = linux_list_attributes(path, nil, 0)
        if size == 0 || size == -Int(EOPNOTSUPP) { return [] }
        try kernelResult("listxattr", path, size)
        var names = [CChar](repeating: 0, count: 64 << 10)
        let filled = try kernelResult("listxattr", path, linux_list_attributes(path, &names, names.count))
        var found: [FileAttribute] = []
        for name in names[..<filled].split(separator: 0) {
            let bytes = name.map { UInt8(bitPattern: $0) }
            guard FileAttribute.isMovable(bytes) else { continue }
            var value = [UInt8](repeating: 0, count: 64 << 10)
            let n = bytes.withPath { name in linux_get_attribute(path, name, &value, value.count) }
            if n == -Int(ENODATA) { continue }
            try kernelResult("getxattr", "\(path) \(bytes.shownPath)", n)
            found.append(FileAttribute(name: bytes, value: Array(value[..<n])))
        }
        return found
    }
}

/// Where a file has content and where holes, in blocks of `FileBlock.size`: a block with any content counts as content.
struct FileSegments {
    let file: Int32
    let size: UInt64

    /// The next range of content at or behind an offset; nil if only holes follow.
    func next(from offset: UInt64) throws(SystemError) -> Range<UInt64>? {
        guard offset < size else { return nil }
        let block = UInt64(FileBlock.size)
        let data = linux_seek(file, Int64(offset), 3)
        if data == -Int(ENXIO) { return nil }
        if data < 0 { return offset..<size }  // a file system without holes
        let start = max(UInt64(data) / block * block, offset)
        let hole = linux_seek(file, Int64(data), 4)
        let end = hole < 0 ? size : min((UInt64(hole) + block - 1) / block * block, size)
        return start < end ? start..<end : nil
    }
}
