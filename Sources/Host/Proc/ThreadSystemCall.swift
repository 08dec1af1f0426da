/// /proc/PID/task/TID/syscall: what a thread does in the kernel (needs ptrace rights, CONFIG_HAVE_ARCH_TRACEHOOK).
public enum ThreadSystemCall: Hashable, Sendable {
    /// On a processor or waiting for one: no registers are shown.
    case running
    /// Blocked in a system call, or (number nil) elsewhere.
    case blocked(number: Int?, arguments: [UInt64], stackPointer: UInt64, programCounter: UInt64)

    public var stackPointer: UInt64? {
        if case .blocked(_, _, let stackPointer, _) = self { stackPointer } else { nil }
    }

    public init?(_ text: Span<UInt8>) {
        var s = ByteScanner(text)
        if s.starts(with: "running") {
            self = .running
            return
        }
        guard let number = s.decimal() else { return nil }
        var values: [UInt64] = []
        while s.skip(0x20), s.skip(0x30), s.skip(0x78), let value = s.hexadecimal() { values.append(value) }
        guard values.count == (number < 0 ? 2 : 8) else { return nil }
        self = .blocked(
            number: number < 0 ? nil : number, arguments: Array(values.dropLast(2)),
            stackPointer: values[values.count - 2], programCounter: values[values.count - 1])
    }

    public static func of(thread: Int32, in pid: Int32) throws(SystemError) -> ThreadSystemCall? {
        let bytes = try FileIO.read("/proc/\(pid)/task/\(thread)/syscall")
        return ThreadSystemCall(bytes.span)
    }
}
