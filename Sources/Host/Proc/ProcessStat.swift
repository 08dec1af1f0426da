/// /proc/PID/stat, and /proc/PID/task/TID/stat.
public struct ProcessStat: Hashable, Sendable {
    public enum State: UInt8, Sendable {
        case running = 0x52  // R
        case sleeping = 0x53  // S
        case uninterruptible = 0x44  // D
        case stopped = 0x54  // T
        case traced = 0x74  // t
        case zombie = 0x5a  // Z
        case dead = 0x58  // X
        case idle = 0x49  // I: a kernel thread
        case other = 0x3f
    }

    public var pid: Int32
    public var command: String
    public var state: State
    public var parent: Int32
    public var processGroup: Int32
    public var session: Int32
    public var threadCount: Int
    /// Ticks since the boot. With the pid it names a process for good.
    public var startTime: UInt64

    /// nil if the text is not a stat line. The command may hold blanks and parentheses: it ends at the last one.
    public init?(_ text: Span<UInt8>) {
        var s = ByteScanner(text)
        guard let pid = s.decimal(), s.skip(0x20), s.skip(0x28) else { return nil }
        let nameStart = s.position
        var close = -1
        for i in nameStart..<max(s.end, nameStart) where text[i] == 0x29 { close = i }
        guard close >= 0 else { return nil }
        command = s.text(nameStart, close)
        s.move(to: close + 1)
        guard s.skip(0x20) else { return nil }
        state = State(rawValue: s.take()) ?? .other
        // Fields 4 to 22 of proc_pid_stat(5).
        var fields: [Int] = []
        fields.reserveCapacity(19)
        for _ in 4...22 {
            s.skipBlanks()
            guard let value = s.decimal() else { return nil }
            fields.append(value)
        }
        self.pid = Int32(truncatingIfNeeded: pid)
        parent = Int32(truncatingIfNeeded: fields[0])
        processGroup = Int32(truncatingIfNeeded: fields[1])
        session = Int32(truncatingIfNeeded: fields[2])
        threadCount = fields[16]
        startTime = UInt64(bitPattern: Int64(fields[18]))
    }

    public var hasEnded: Bool { state == .zombie || state == .dead }

    public static func of(pid: Int32) throws(SystemError) -> ProcessStat { try read("/proc/\(pid)/stat") }
    public static func of(thread: Int32, in pid: Int32) throws(SystemError) -> ProcessStat {
        try read("/proc/\(pid)/task/\(thread)/stat")
    }
    private static func read(_ path: String) throws(SystemError) -> ProcessStat {
        let bytes = try FileIO.read(path)
        guard let stat = ProcessStat(bytes.span) else { throw SystemError(call: "parse", subject: path, errno: 71 /* EPROTO */) }
        return stat
    }
}
