import CLinux
import Glibc
import Host

/// Regular files that a process has open for writing: /proc/PID/fd and /proc/PID/fdinfo.
///
/// Only asked of processes that use libaio, whose writes no watch is told of (fs/aio.c calls no fsnotify hook); such a process has
/// a ring buffer `/[aio]` mapped (io_setup(2)). About 5 µs a descriptor.
enum OpenFiles {
    static func written(by pid: Int32) throws(SystemError) -> Set<FileIdentity> {
        var found = Set<FileIdentity>()
        for number in try FileIO.list("/proc/\(pid)/fd") {
            guard let text = try FileIO.readIfPresent("/proc/\(pid)/fdinfo/\(number)"), isWritable(text),
                let file = try? OwnedDescriptor(opening: "/proc/\(pid)/fd/\(number)", flags: 0o10000000 /* O_PATH */)
            else { continue }
            var details = linux_file_details()
            guard linux_file_details(file.raw, &details) == 0, details.mode & LINUX_S_IFMT == LINUX_S_IFREG else { continue }
            found.insert(FileIdentity(device: details.device, inode: details.inode))
        }
        return found
    }

    /// `flags:\t0100002`, octal; the last two bits are O_WRONLY and O_RDWR.
    static func isWritable(_ text: [UInt8]) -> Bool {
        for line in text.split(separator: UInt8(ascii: "\n")) where line.starts(with: "flags:".utf8) {
            return line.last.map { ($0 & 3) != 0 } ?? true
        }
        return true
    }
}
