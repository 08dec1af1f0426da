import CLinux
import Glibc
import Host

/// A descriptor of another process at one instant, although the process may put another file behind the number at any time.
struct OpenDescriptor {
    /// What /proc shows: `/path`, `pipe:[123]`.
    var target: String
    /// open(2)'s flags.
    var flags: UInt64
    /// As in mountinfo.
    var mountID: Int
    /// S_IFREG and so on.
    var kind: UInt32
    var inode: UInt64
    /// Of a device file.
    var device: (major: UInt32, minor: UInt32)

    /// - Returns: nil if nothing is open there.
    static func look(_ number: Int, of pid: Int32) throws(SystemError) -> OpenDescriptor? {
        let link = "/proc/\(pid)/fd/\(number)"
        while true {
            let file: OwnedDescriptor
            do { file = try OwnedDescriptor(opening: link, flags: LINUX_O_PATH) } catch {
                if error.errno == ENOENT { return nil }
                throw error
            }
            // All of the file is asked by our own descriptor, which stays the same file.
            var details = linux_file_details()
            try kernelResult("fstat", link, linux_file_details(file.raw, &details))
            let target = try FileIO.readLink("/proc/self/fd/\(file.raw)")
            let mount = DescriptorInfo(try FileIO.read("/proc/self/fdinfo/\(file.raw)"))
            guard let info = try FileIO.readIfPresent("/proc/\(pid)/fdinfo/\(number)") else { continue }
            let theirs = DescriptorInfo(info)
            guard theirs.mountID == mount.mountID, theirs.inode == mount.inode else { continue }
            return OpenDescriptor(
                target: target, flags: theirs.flags, mountID: theirs.mountID, kind: details.mode & LINUX_S_IFMT,
                inode: details.inode, device: (details.major, details.minor))
        }
    }
}

/// Fields of /proc/PID/fdinfo/N that matter here.
struct DescriptorInfo {
    var flags: UInt64 = 0
    var mountID = -1
    /// Linux 5.14; 0 before.
    var inode: UInt64 = 0

    init(_ text: [UInt8]) {
        for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == "\t" || $0 == " " })
            guard words.count == 2 else { continue }
            if words[0] == "flags:" { flags = UInt64(words[1], radix: 8) ?? 0 }
            if words[0] == "ino:" { inode = UInt64(words[1]) ?? 0 }
            if words[0] == "mnt_id:" { mountID = Int(words[1]) ?? -1 }
        }
    }
}
