/// One mount: a line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
public struct MountInfo: Hashable, Sendable {
    public var id: Int
    public var parent: Int
    /// major << 20 | minor.
    public var device: UInt32
    /// Folder of the file system that is shown here.
    public var root: String
    public var mountPoint: String
    public var options: [String]
    /// `shared:N`, `master:N`, `propagate_from:N`, `unbindable`.
    public var propagation: [String]
    public var type: String
    public var source: String
    public var superOptions: [String]

    public static func parse(_ text: Span<UInt8>) -> [MountInfo] {
        var all: [MountInfo] = []
        var s = ByteScanner(text)
        while !s.isAtEnd {
            if let mount = parseLine(&s) { all.append(mount) }
            s.skipLine()
        }
        return all
    }

    private static func parseLine(_ s: inout ByteScanner) -> MountInfo? {
        func field(_ s: inout ByteScanner) -> String {
            s.skipBlanks()
            return unescape(s.word())
        }
        func list(_ text: String) -> [String] { text.split(separator: ",").map(String.init) }
        guard let id = s.decimal(), s.skip(0x20), let parent = s.decimal(), s.skip(0x20) else { return nil }
        guard let major = s.decimal(), s.skip(0x3a), let minor = s.decimal() else { return nil }
        let root = field(&s), point = field(&s), options = list(field(&s))
        var propagation: [String] = []
        while true {
            let next = field(&s)
            if next == "-" { break }
            if next.isEmpty { return nil }
            propagation.append(next)
        }
        let type = field(&s), source = field(&s), superOptions = list(field(&s))
        return MountInfo(
            id: id, parent: parent, device: UInt32(truncatingIfNeeded: major << 20 | minor), root: root, mountPoint: point,
            options: options,
            propagation: propagation, type: type, source: source, superOptions: superOptions)
    }

    /// Undoes the kernel's \040 (blank, tab, line feed, backslash, #).
    static func unescape(_ text: String) -> String {
        guard text.utf8.contains(0x5c) else { return text }
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        var i = 0
        func octal(_ c: UInt8) -> UInt8? { (0x30...0x37).contains(c) ? c - 0x30 : nil }
        while i < bytes.count {
            if bytes[i] == 0x5c, i + 3 < bytes.count, let a = octal(bytes[i + 1]), a < 4, let b = octal(bytes[i + 2]),
                let c = octal(bytes[i + 3])
            {
                out.append(a << 6 | b << 3 | c)
                i += 4
            } else {
                out.append(bytes[i])
                i += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Mounts that a process sees.
    public static func of(pid: Int32) throws(SystemError) -> [MountInfo] {
        let bytes = try FileIO.read("/proc/\(pid)/mountinfo")
        return parse(bytes.span)
    }
    /// Mounts that we see.
    public static func ofSelf() throws(SystemError) -> [MountInfo] {
        let bytes = try FileIO.read("/proc/self/mountinfo")
        return parse(bytes.span)
    }
}
