import Glibc
import Host

/// The inode number behind a path, links followed.
func inode(of path: String) throws(SystemError) -> UInt64 {
    var status = stat()
    guard stat(path, &status) == 0 else { throw SystemError(call: "stat", subject: path, errno: errno) }
    return UInt64(status.st_ino)
}
