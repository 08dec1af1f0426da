import CLinux
import Glibc

/// Bytes of a small file, read into a buffer that is used again.
public struct ReadBuffer: ~Copyable, Sendable {
    private var storage: [UInt8]
    /// Number of bytes of the last read.
    public private(set) var count = 0

    public init(capacity: Int = 16 << 10) { storage = [UInt8](repeating: 0, count: max(capacity, 4096)) }

    /// What the last read gave.
    public var bytes: Span<UInt8> {
        @_lifetime(borrow self) get { storage.span.extracting(0..<count) }
    }

    /// Reads an open file from its beginning to its end. Files of /proc don't tell their size.
    public mutating func fill(from descriptor: Int32, name: @autoclosure () -> String) throws(SystemError) {
        count = 0
        while true {
            if count == storage.count { storage.append(contentsOf: repeatElement(0, count: storage.count)) }
            let filled = count, room = storage.count - count
            let n = storage.withUnsafeMutableBytes { bytes in
                retrying { pread(descriptor, bytes.baseAddress! + filled, room, off_t(filled)) }
            }
            count += try checkErrno("read", name(), n)
            if n == 0 { return }
        }
    }

    /// Reads a file by its path.
    public mutating func fill(path: String) throws(SystemError) {
        count = 0
        let file = try OwnedDescriptor(opening: path, flags: O_RDONLY)
        try fill(from: file.raw, name: path)
    }
}

/// Whole small files.
public enum FileIO {
    /// Reads a file of unknown size (files of /proc and /sys as well).
    public static func read(_ path: String) throws(SystemError) -> [UInt8] {
        let file = try OwnedDescriptor(opening: path, flags: O_RDONLY)
        var bytes: [UInt8] = [], chunk = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let n = try checkErrno("read", path, retrying { Glibc.read(file.raw, &chunk, chunk.count) })
            if n == 0 { return bytes }
            bytes.append(contentsOf: chunk[..<n])
        }
    }

    /// Reads a file that may be gone: nil for ENOENT, and for ESRCH, which /proc answers for a process that ended.
    public static func readIfPresent(_ path: String) throws(SystemError) -> [UInt8]? {
        do { return try read(path) } catch {
            if error.errno == ENOENT || error.errno == ESRCH { return nil }
            throw error
        }
    }

    /// Reads a file as text, without the line's end.
    public static func readLine(_ path: String) throws(SystemError) -> String {
        var bytes = try read(path)
        while bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Writes a value to a file of /sys, /proc or a cgroup: one write call, nothing created.
    public static func writeValue(_ value: String, to path: String) throws(SystemError) {
        let file = try OwnedDescriptor(opening: path, flags: O_WRONLY)
        try writeAll(Array(value.utf8).span.bytes, to: file.raw, name: path)
    }

    /// Replaces a file: new content beside it, fsync, rename, fsync of the folder. After a crash the path holds
    /// the old content or the new, never a part.
    public static func writeAtomically(_ bytes: [UInt8], to path: String, mode: UInt32 = 0o600) throws(SystemError) {
        let temporary = "\(path).new"
        let file = try OwnedDescriptor(opening: temporary, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
        do {
            try writeAll(bytes.span.bytes, to: file.raw, name: temporary)
            try checkErrno("fsync", temporary, Int(fsync(file.raw)))
            try checkErrno("rename", path, Int(rename(temporary, path)))
        } catch {
            unlink(temporary)
            throw error
        }
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        try synchronizeFolder(folder)
    }

    /// Makes names created or removed in a folder survive a crash.
    public static func synchronizeFolder(_ path: String) throws(SystemError) {
        let folder = try OwnedDescriptor(opening: path, flags: O_RDONLY | O_DIRECTORY)
        try checkErrno("fsync", path, Int(fsync(folder.raw)))
    }

    /// Writes all bytes, in as many calls as it takes.
    public static func writeAll(_ bytes: RawSpan, to descriptor: Int32, name: @autoclosure () -> String) throws(SystemError) {
        var done = 0
        while done < bytes.byteCount {
            let n = bytes.withUnsafeBytes { all in retrying { write(descriptor, all.baseAddress! + done, all.count - done) } }
            done += try checkErrno("write", name(), n)
        }
    }

    /// Names in a folder, without `.` and `..`, in no order.
    public static func list(_ path: String) throws(SystemError) -> [String] {
        guard let folder = opendir(path) else { throw SystemError(call: "opendir", subject: path, errno: Glibc.errno) }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// Target of a symbolic link (those of /proc/PID/fd and /proc/PID/exe too).
    public static func readLink(_ path: String) throws(SystemError) -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let n = try checkErrno(
            "readlink", path,
            buffer.withUnsafeMutableBytes {
                readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
            })
        return String(decoding: buffer[..<n], as: UTF8.self)
    }

    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}
