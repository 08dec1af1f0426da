import CLinux
import Glibc
import Host

/// A network namespace bound to a path; ip-netns(8).
struct NetworkNamespace: Sendable {
    let path: String

    /// The name, if the path is one of iproute2's.
    private var name: String? {
        for folder in ["/run/netns/", "/var/run/netns/"] where path.hasPrefix(folder) {
            let name = String(path.dropFirst(folder.count))
            return name.isEmpty || name.contains("/") ? nil : name
        }
        return nil
    }

    /// Makes it. The path must not exist.
    func make() throws(NetworkError) {
        if let name {
            try IPTool().run(["netns", "add", name])
        } else {
            do { _ = try OwnedDescriptor(opening: path, flags: O_RDONLY | O_CREAT | O_EXCL, mode: 0o444) } catch {
                throw .system(error)
            }
            try IPTool().run(["--net=\(path)", "true"], "unshare")  // binds the new namespace to the file
        }
    }

    /// Removes path and namespace; what still runs in it keeps it alive without a name.
    func remove() throws(NetworkError) {
        if let name {
            try IPTool().run(["netns", "delete", name])
        } else {
            do throws(SystemError) {
                try kernelResult("umount", path, linux_umount(path, LINUX_MNT_DETACH))
                try kernelResult("unlink", path, linux_unlinkat(AT_FDCWD, path, 0))
            } catch { throw .system(error) }
        }
    }

    /// Runs a body on a thread inside.
    func run<R: Sendable>(_ body: @escaping @Sendable () throws(SystemError) -> R) throws(SystemError) -> R {
        let path = path
        let result = try Thread.run(named: "network") { () -> Result<R, SystemError> in
            do throws(SystemError) {
                let namespace = try OwnedDescriptor(opening: path, flags: O_RDONLY)
                try kernelResult("setns", path, linux_setns(namespace.raw, Int32(LINUX_CLONE_NEWNET)))
                return .success(try body())
            } catch { return .failure(error) }
        }
        return try result.get()
    }
}
