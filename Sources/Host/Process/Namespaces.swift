import CLinux
import Glibc

/// Namespaces: setns(2), unshare(2). Both change the calling thread only: use a thread made for it and let it end.
public enum Namespaces {
    /// The kinds, by their CLONE_NEW flags.
    public struct Kinds: OptionSet, Sendable {
        public var rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let mount = Kinds(rawValue: 0x0002_0000)
        public static let cgroup = Kinds(rawValue: 0x0200_0000)
        public static let uts = Kinds(rawValue: 0x0400_0000)
        public static let ipc = Kinds(rawValue: 0x0800_0000)
        public static let user = Kinds(rawValue: 0x1000_0000)
        public static let pid = Kinds(rawValue: 0x2000_0000)
        public static let network = Kinds(rawValue: 0x4000_0000)
        public static let time = Kinds(rawValue: 0x0000_0080)
        /// unshare only: current directory and root of the thread's own, which entering a mount namespace demands.
        public static let fileSystem = Kinds(rawValue: 0x0000_0200)
    }

    /// Opens a namespace of a process by its /proc name: `net`, `mnt`, `pid`, `ipc`, `user`, `uts`, `cgroup`.
    public static func open(_ name: String, of pid: Int32) throws(SystemError) -> OwnedDescriptor {
        try OwnedDescriptor(opening: "/proc/\(pid)/ns/\(name)", flags: O_RDONLY)
    }

    /// Device and inode, by which two namespaces can be told apart.
    public static func identity(_ name: String, of pid: Int32) throws(SystemError) -> String {
        try FileIO.readLink("/proc/\(pid)/ns/\(name)")
    }

    /// Moves the calling thread.
    /// - Parameter kinds: what the descriptor must be; empty accepts any. With a pidfd: which of its namespaces.
    public static func enter(_ descriptor: borrowing OwnedDescriptor, _ kinds: Kinds = []) throws(SystemError) {
        try check("setns", "descriptor \(descriptor.raw)", linux_setns(descriptor.raw, Int32(bitPattern: kinds.rawValue)))
    }

    /// Gives the calling thread new namespaces.
    public static func unshare(_ kinds: Kinds) throws(SystemError) {
        try check("unshare", "flags 0x\(String(kinds.rawValue, radix: 16))", linux_unshare(UInt(kinds.rawValue)))
    }

    /// Runs a body in namespaces of a process, on a thread of its own that ends afterwards.
    ///
    /// The thread has a current directory and root of its own, so that mount namespaces can be entered.
    public static func run<R: Sendable>(
        in names: [String], of pid: Int32, _ body: @escaping @Sendable () throws(SystemError) -> R
    ) throws(SystemError) -> R {
        let result = try Thread.run(named: "namespaces") { () -> Result<R, SystemError> in
            do throws(SystemError) {
                if names.contains("mnt") { try unshare(.fileSystem) }
                // All are opened first: behind a mount namespace /proc may be another one or none.
                let descriptors = try Opened(names, of: pid)
                try descriptors.enterAll()
                return .success(try body())
            } catch { return .failure(error) }
        }
        return try result.get()
    }

    private struct Opened: ~Copyable {
        private var raw: [Int32] = []
        init(_ names: [String], of pid: Int32) throws(SystemError) {
            for name in names { raw.append(try Namespaces.open(name, of: pid).release()) }
        }
        borrowing func enterAll() throws(SystemError) {
            for descriptor in raw { try check("setns", "descriptor \(descriptor)", linux_setns(descriptor, 0)) }
        }
        deinit { for descriptor in raw { close(descriptor) } }
    }
}
