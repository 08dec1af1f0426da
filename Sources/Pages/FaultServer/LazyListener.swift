import CLinux
import Glibc
import Host

/// lazy-pages.socket in CRIU's work folder. It must listen before CRIU starts: CRIU connects once and gives up.
final class LazyListener: Sendable {
    private let socket: UnixSocket
    private let folder: OwnedDescriptor
    var raw: Int32 { socket.descriptor.raw }
    private static let name = "lazy-pages.socket"

    init(folder path: String) throws(SystemError) {
        folder = try OwnedDescriptor(opening: path, flags: O_DIRECTORY | O_RDONLY)
        unlinkat(folder.raw, Self.name, 0)  // left by a server that was killed
        // By way of /proc: a socket's path may have 107 bytes only, work folders are longer.
        socket = try UnixSocket.listen(at: "/proc/self/fd/\(folder.raw)/\(Self.name)", .stream)
        _ = fcntl(socket.descriptor.raw, F_SETFL, fcntl(socket.descriptor.raw, F_GETFL) | O_NONBLOCK)
    }

    deinit { unlinkat(folder.raw, Self.name, 0) }

    /// The next connection, nil if there is none after all.
    func accept() -> LazyClient? {
        let raw = linux_accept(socket.descriptor.raw, Int32(SOCK_CLOEXEC.rawValue))
        return raw < 0 ? nil : LazyClient(UnixSocket(OwnedDescriptor(taking: Int32(raw))))
    }
}
