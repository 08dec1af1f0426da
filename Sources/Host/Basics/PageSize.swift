import Glibc
internal import Model

/// The page size that Martlet is built for, checked at the start of the program.
public enum PageSize {
    /// - Throws: EINVAL where the kernel's pages aren't 4096 bytes.
    public static func require() throws(SystemError) {
        let size = sysconf(Int32(_SC_PAGESIZE))
        if size != pageSize {
            throw SystemError(
                call: "sysconf(_SC_PAGESIZE)", subject: "\(size) bytes", errno: EINVAL, hint: "Martlet moves 4096-byte pages only"
            )
        }
    }
}
