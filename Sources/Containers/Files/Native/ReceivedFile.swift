import CLinux
import Glibc
import Host

/// A regular file that is being received.
final class ReceivedFile: Sendable {
    private let file: OwnedDescriptor
    private let path: String
    private let metadata: FileMetadata

    /// Brings the file to its size.
    /// - Throws: EPERM if what was opened isn't a regular file; ESTALE if it isn't the file that the source takes it for.
    init(
        _ file: consuming OwnedDescriptor, _ path: String, _ metadata: FileMetadata, _ flags: FileOperation.Flags
    ) throws(SystemError) {
        self.file = file
        (self.path, self.metadata) = (path, metadata)
        var details = linux_file_details()
        try kernelResult("fstat", path, linux_file_details(self.file.raw, &details))
        guard details.mode & LINUX_S_IFMT == LINUX_S_IFREG else { throw SystemError(call: "open", subject: path, errno: EPERM) }
        if flags.contains(.content) {
            try setSize(metadata.size)
        } else if details.size != metadata.size {
            throw SystemError(call: "open", subject: path, errno: ESTALE, hint: "it is not the file that the source takes it for")
        }
    }

    private func setSize(_ size: UInt64) throws(SystemError) {
        let result = ftruncate(file.raw, off_t(size))
        try kernelResult("ftruncate", path, result < 0 ? -Int(errno) : 0)
    }

    /// Writes bytes within the file's size.
    func write(_ bytes: [UInt8], _ count: Int, at offset: UInt64) throws(SystemError) {
        guard offset <= metadata.size, UInt64(count) <= metadata.size - offset else {
            throw SystemError(call: "write", subject: path, errno: EFBIG, hint: "content beyond the file's size")
        }
        var done = 0
        while done < count {
            let start = done
            let n = bytes.withUnsafeBytes {
                pwrite(file.raw, $0.baseAddress! + start, count - start, off_t(offset) + off_t(start))
            }
            if n < 0 && errno == EINTR { continue }
            done += try kernelResult("pwrite", path, n < 0 ? -Int(errno) : n)
        }
    }

    /// Makes a range a hole, or zeros where the file system has none.
    func clear(_ offset: UInt64, _ count: UInt64) throws(SystemError) {
        guard offset <= metadata.size, count <= metadata.size - offset else {
            throw SystemError(call: "write", subject: path, errno: EFBIG, hint: "a hole beyond the file's size")
        }
        let punched = linux_punch_hole(file.raw, Int(offset), Int(count))
        if punched == 0 { return }
        guard punched == -Int(EOPNOTSUPP) else {
            try kernelResult("fallocate", path, punched)
            return
        }
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        var at = offset
        while at < offset + count {
            let part = min(UInt64(zeros.count), offset + count - at)
            try write(zeros, Int(part), at: at)
            at += part
        }
    }

    /// Sets owner, attributes, mode and time, in this order: chown(2) takes set-user-ID and capabilities away, an ACL changes the mode.
    func finish() throws(SystemError) { try Self.setAll(file.raw, metadata, path) }

    static func setAll(_ descriptor: Int32, _ metadata: FileMetadata, _ path: String) throws(SystemError) {
        try kernelResult("fchown", path, fchown(descriptor, metadata.user, metadata.group) < 0 ? -Int(errno) : 0)
        try setAttributes(descriptor, metadata, path)
        try kernelResult("fchmod", path, fchmod(descriptor, metadata.mode & 0o7777) < 0 ? -Int(errno) : 0)
        let seconds =
            metadata.modified >= 0 ? metadata.modified / 1_000_000_000 : (metadata.modified - 999_999_999) / 1_000_000_000
        let times = [
            timespec(tv_sec: 0, tv_nsec: Int(UTIME_OMIT)),
            timespec(tv_sec: Int(seconds), tv_nsec: Int(metadata.modified - seconds * 1_000_000_000)),
        ]
        try kernelResult("futimens", path, futimens(descriptor, times) < 0 ? -Int(errno) : 0)
    }

    /// linux/stat.h UTIME_OMIT, which is a macro.
    private static let UTIME_OMIT = (1 << 30) - 2

    /// Makes the attributes equal: sets what differs, removes what is too much.
    static func setAttributes(_ descriptor: Int32, _ metadata: FileMetadata, _ path: String) throws(SystemError) {
        let link = "/proc/self/fd/\(descriptor)"
        let there = try HeldEntry.attributes(link)
        if there.isEmpty && metadata.attributes.isEmpty { return }
        let wanted = Set(metadata.attributes.map(\.name))
        for attribute in there where !wanted.contains(attribute.name) {
            try kernelResult("removexattr", path, attribute.name.withPath { linux_remove_attribute(link, $0) })
        }
        for attribute in metadata.attributes where !there.contains(attribute) {
            guard FileAttribute.isMovable(attribute.name), !attribute.name.contains(0) else {
                throw SystemError(call: "setxattr", subject: path, errno: EPERM, hint: "an attribute \(attribute.name.shownPath)")
            }
            let set = attribute.name.withPath { name in
                attribute.value.withUnsafeBytes { linux_set_attribute(link, name, $0.baseAddress, $0.count) }
            }
            try kernelResult("setxattr", "\(path) \(attribute.name.shownPath)", set)
        }
    }

    /// - Throws: EPERM if it isn't a regular file.
    static func hashes(_ file: Int32, _ path: String) throws(SystemError) -> [UInt64] {
        var details = linux_file_details()
        try kernelResult("fstat", path, linux_file_details(file, &details))
        guard details.mode & LINUX_S_IFMT == LINUX_S_IFREG else { throw SystemError(call: "open", subject: path, errno: EPERM) }
        let block = UInt64(FileBlock.size)
        guard details.size / block < UInt64(FileAnswer.longest) / 8 else {
            throw SystemError(call: "hash", subject: path, errno: EFBIG)
        }
        var hashes = (0..<FileBlock.count(details.size)).map {
            FileBlock.zeroHash(Int(min(block, details.size - UInt64($0) * block)))
        }
        let segments = FileSegments(file: file, size: details.size)
        var buffer = [UInt8](repeating: 0, count: 1 << 20), at: UInt64 = 0
        while let data = try segments.next(from: at) {
            at = data.lowerBound
            while at < data.upperBound {
                let room = Int(min(UInt64(buffer.count), data.upperBound - at)), offset = at
                let n = buffer.withUnsafeMutableBytes { pread(file, $0.baseAddress!, room, off_t(offset)) }
                if n < 0 && errno == EINTR { continue }
                let read = try kernelResult("pread", path, n < 0 ? -Int(errno) : n)
                if read == 0 { return hashes }
                for start in stride(from: 0, to: read, by: FileBlock.size) {
                    hashes[Int((at + UInt64(start)) / block)] = buffer.withUnsafeBytes {
                        FileBlock.hash($0.baseAddress! + start, min(FileBlock.size, read - start))
                    }
                }
                at += UInt64(read)
            }
        }
        return hashes
    }
}
