import CLinux
import Glibc
public import Host

/// Removes a tree and nothing that is mounted in it.
///
/// `rm -rf` on a folder with a bind mount inside deletes what is mounted; that happened to a prototype's root file system.
/// Here the tree is walked in a view without submounts, names are opened without following links, and the kernel
/// refuses to remove a folder on which something is mounted (EBUSY), which then stays, with its parents.
public enum TreeRemoval {
    /// Removes the folder with all in it.
    /// - Parameter identity: the folder as it was when it was made; another one at the same path is left alone.
    /// - Returns: true if nothing is left at the path.
    @discardableResult
    public static func remove(_ path: String, identity: FileIdentity? = nil) throws(SystemError) -> Bool {
        let view: FolderView
        do { view = try FolderView(path: path) } catch {
            if error.errno == ENOENT { return true }
            throw error
        }
        if let identity {
            var state = linux_file_state()
            try kernelResult("statx", path, linux_file_state(view.folder.raw, "", LINUX_AT_EMPTY_PATH, &state))
            guard FileIdentity(state) == identity else { return false }
        }
        let empty = try empty(view.folder.raw, path, depth: 0)
        if !empty { return false }
        let result = rmdir(path)
        if result == 0 || errno == ENOENT { return true }
        if errno == EBUSY || errno == ENOTEMPTY { return false }
        throw SystemError(call: "rmdir", subject: path, errno: errno)
    }

    /// Empties an open folder.
    /// - Returns: false if something had to stay.
    static func empty(_ folder: Int32, _ path: String, depth: Int = 0) throws(SystemError) -> Bool {
        // A descriptor a level: deeper trees than this can't have been made by a copy of paths up to 4096 bytes.
        guard depth < 2048 else { throw SystemError(call: "remove", subject: path, errno: ELOOP) }
        var all = true
        for name in try names(folder, path) {
            let unlinked = name.withUnsafeBufferPointer { linux_unlinkat(folder, $0.baseAddress!, 0) }
            if unlinked == 0 || unlinked == -Int(ENOENT) { continue }
            if unlinked == -Int(EBUSY) {  // a file on which something is mounted
                all = false
                continue
            }
            guard unlinked == -Int(EISDIR) || unlinked == -Int(EPERM) else {
                throw SystemError(call: "unlink", subject: path, errno: Int32(-unlinked))
            }
            let opened = name.withUnsafeBufferPointer { linux_open_beneath(folder, $0.baseAddress!, O_RDONLY | O_DIRECTORY) }
            let child = OwnedDescriptor(taking: Int32(try kernelResult("openat2", path, opened)))
            let emptied = try empty(child.raw, path, depth: depth + 1)
            let removed =
                emptied
                ? name.withUnsafeBufferPointer { linux_unlinkat(folder, $0.baseAddress!, 0x200 /* AT_REMOVEDIR */) }
                : -Int(ENOTEMPTY)
            if removed != 0 && removed != -Int(ENOENT) { all = false }
        }
        return all
    }

    /// Names in an open folder, zero-terminated, without the two dots.
    static func names(_ folder: Int32, _ path: String) throws(SystemError) -> [[CChar]] {
        let again = linux_openat(folder, ".", O_RDONLY | O_DIRECTORY, 0)
        let reader = OwnedDescriptor(taking: Int32(try kernelResult("openat", path, again)))
        var buffer = [UInt8](repeating: 0, count: 64 << 10), found: [[CChar]] = []
        while true {
            let filled = try kernelResult(
                "getdents64", path, buffer.withUnsafeMutableBytes { linux_getdents(reader.raw, $0.baseAddress, $0.count) })
            if filled == 0 { return found }
            var at = 0
            while at < filled {
                let length = Int(buffer[at + 16]) | Int(buffer[at + 17]) << 8
                let name = buffer[(at + 19)..<(at + length)].prefix { $0 != 0 }.map { CChar(bitPattern: $0) } + [0]
                if name != [0x2e, 0] && name != [0x2e, 0x2e, 0] { found.append(name) }
                at += length
            }
        }
    }
}
