import CLinux
import Glibc
public import Host

/// What a container's first process has as standard input, output and error: what a dump has to leave outside and a
/// restore to put back.
public struct StandardStreams: Hashable, Sendable, Codable {
    /// One of the three descriptors.
    public enum Stream: Hashable, Sendable, Codable {
        case closed
        /// A file, device or socket within the container: CRIU moves it as any other.
        case inside
        /// A pipe; `key` is its name for CRIU, `pipe:[INODE]`.
        case pipe(key: String, writes: Bool)
        /// A regular file of the host, outside the container's mounts. CRIU can dump it only as external, by `key`
        /// (`file[MOUNT:INODE]`), and restore it only from a descriptor that it inherits.
        case hostFile(key: String, path: String, writes: Bool)
        /// The container's console or a terminal of the host.
        case terminal(String)
        /// Anything else from outside.
        case other(String)
    }

    /// In the order of their numbers.
    public var streams: [Stream]
    public init(_ streams: [Stream]) { self.streams = streams }

    /// Looks at a process's descriptors 0 to 2.
    ///
    /// A shell moves them for the time of a redirected builtin (`echo x >>log`): one that seems to lead to a file inside is looked
    /// at again for some milliseconds, in case that it leads outside otherwise.
    public static func of(pid: Int32) throws(SystemError) -> StandardStreams {
        let inside = Set(try MountInfo.of(pid: pid).map(\.id))
        var streams: [Stream] = []
        for number in 0...2 {
            var look = try look(at: number, of: pid, mountsInside: inside)
            var again = 0
            while look.isFile, look.stream == .inside, again < 10 {
                usleep(500)
                again += 1
                look = try self.look(at: number, of: pid, mountsInside: inside)
            }
            streams.append(look.stream)
        }
        return StandardStreams(streams)
    }

    private static func look(
        at number: Int, of pid: Int32, mountsInside: Set<Int>
    ) throws(SystemError) -> (stream: Stream, isFile: Bool) {
        guard let seen = try OpenDescriptor.look(number, of: pid) else { return (.closed, false) }
        let writes = seen.flags & UInt64(O_ACCMODE) != UInt64(O_RDONLY)
        let isFile = seen.kind == LINUX_S_IFREG
        switch seen.kind {
        case UInt32(S_IFIFO) where seen.target.hasPrefix("pipe:"): return (.pipe(key: seen.target, writes: writes), false)
        case LINUX_S_IFCHR where isTerminal(seen.device): return (.terminal(seen.target), false)
        default: break
        }
        if mountsInside.contains(seen.mountID) { return (.inside, isFile) }
        guard isFile else { return (.other(seen.target), false) }
        // CRIU's own form of the key: both in hexadecimal (criu/files-reg.c, dump_one_reg_file).
        let key = "file[\(String(seen.mountID, radix: 16)):\(String(seen.inode, radix: 16))]"
        return (.hostFile(key: key, path: seen.target, writes: writes), true)
    }

    /// Majors of terminals: 4 (consoles), 5 (/dev/tty), 136 to 143 (pts); Documentation/admin-guide/devices.txt.
    private static func isTerminal(_ device: (major: UInt32, minor: UInt32)) -> Bool {
        device.major == 4 || (device.major == 5 && device.minor < 2) || (136...143).contains(device.major)
    }

    /// `descriptors.json`, in which runc looks for the names of pipes at a restore.
    public var descriptors: [String] {
        streams.map { if case .pipe(let key, _) = $0 { key } else { "/dev/null" } }
    }

    /// descriptors.json's bytes.
    public var descriptorsFile: [UInt8] { JSONValue.strings(descriptors).encoded() }

    /// `external` options for the dump, each key once.
    public var externalKeys: [String] {
        var keys: [String] = []
        for case .hostFile(let key, _, _) in streams where !keys.contains(key) { keys.append(key) }
        return keys
    }

    /// Options for the restore: CRIU's own descriptors 0 to 2 for external files. Pipes are runc's business.
    public var inherited: [CriuOptions.InheritedDescriptor] {
        var all: [CriuOptions.InheritedDescriptor] = []
        for (number, stream) in streams.enumerated() {
            guard case .hostFile(let key, _, _) = stream, !all.contains(where: { $0.key == key }) else { continue }
            all.append(.init(key: key, number: Int32(number)))
        }
        return all
    }

    /// Streams that can't be moved, in words.
    public var blockers: [String] {
        zip(["input", "output", "error"], streams).compactMap { name, stream in
            switch stream {
            case .terminal(let path): "standard \(name) is the terminal \(path)"
            case .other(let target): "standard \(name) is \(target), which is neither a file, a pipe nor within the container"
            default: nil
            }
        }
    }

    /// Opens what takes the streams' places at the destination.
    ///
    /// A host file is opened by the same path, for appending, made if its folder is there; everything that can't be
    /// had, and pipes, whose other end stayed behind, become /dev/null.
    /// - Returns: three descriptors for the runtime, and what could not be opened, in words.
    public func open() throws(SystemError) -> (descriptors: [SharedDescriptor], substituted: [String]) {
        var descriptors: [SharedDescriptor] = [], substituted: [String] = []
        for (number, stream) in streams.enumerated() {
            var opened: SharedDescriptor?
            switch stream {
            case .hostFile(_, let path, _) where path.hasSuffix(" (deleted)"):
                substituted.append("descriptor \(number): \(path) has no name any more; /dev/null instead")
            case .hostFile(_, let path, let writes):
                let flags = writes ? O_RDWR | O_APPEND | O_CREAT : O_RDONLY
                do {
                    opened = SharedDescriptor(
                        try OwnedDescriptor(opening: path, flags: flags | O_NONBLOCK | O_NOFOLLOW, mode: 0o644))
                } catch {
                    substituted.append("descriptor \(number): \(error); /dev/null instead")
                }
            case .pipe: substituted.append("descriptor \(number): a pipe whose other end stays at the source; /dev/null instead")
            default: break
            }
            if let opened {
                descriptors.append(opened)
            } else {
                descriptors.append(SharedDescriptor(try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR)))
            }
        }
        return (descriptors, substituted)
    }
}
