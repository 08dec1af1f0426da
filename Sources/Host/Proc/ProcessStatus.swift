/// /proc/PID/status: identity, signals, capabilities. Fields that an old kernel doesn't show keep their defaults.
public struct ProcessStatus: Hashable, Sendable {
    public enum Seccomp: Int, Sendable { case disabled = 0, strict = 1, filter = 2 }

    public var name = ""
    public var threadGroup: Int32 = 0
    public var pid: Int32 = 0
    public var parent: Int32 = 0
    /// 0 if nobody traces it.
    public var tracer: Int32 = 0
    /// Real, effective, saved, file system.
    public var userIDs: [UInt32] = []
    public var groupIDs: [UInt32] = []
    /// The process's number in each pid namespace, ours first, its own last.
    public var namespacePIDs: [Int32] = []
    public var threadCount = 0
    /// Signals as bits: signal n is bit n - 1.
    public var pendingSignals: UInt64 = 0
    public var sharedPendingSignals: UInt64 = 0
    public var blockedSignals: UInt64 = 0
    public var ignoredSignals: UInt64 = 0
    public var caughtSignals: UInt64 = 0
    public var effectiveCapabilities: UInt64 = 0
    public var permittedCapabilities: UInt64 = 0
    public var boundingCapabilities: UInt64 = 0
    public var noNewPrivileges = false
    public var seccomp = Seccomp.disabled
    public var seccompFilterCount = 0

    /// The process's number as it sees itself.
    public var innermostPID: Int32 { namespacePIDs.last ?? pid }

    public init(_ text: Span<UInt8>) {
        var s = ByteScanner(text)
        while !s.isAtEnd {
            let start = s.position
            while !s.isAtEnd, s.peek != 0x3a, s.peek != 0x0a { _ = s.take() }
            let key = s.text(start, s.position)
            if s.skip(0x3a) {
                s.skipBlanks()
                setField(key, &s)
            }
            s.skipLine()
        }
    }

    private mutating func setField(_ key: String, _ s: inout ByteScanner) {
        func numbers(_ s: inout ByteScanner) -> [Int] {
            var all: [Int] = []
            while let n = s.decimal() {
                all.append(n)
                s.skipBlanks()
            }
            return all
        }
        func number(_ s: inout ByteScanner) -> Int { s.decimal() ?? 0 }
        func mask(_ s: inout ByteScanner) -> UInt64 { s.hexadecimal() ?? 0 }
        switch key {
        case "Name": name = s.text(s.position, s.lineEnd)
        case "Tgid": threadGroup = Int32(truncatingIfNeeded: number(&s))
        case "Pid": pid = Int32(truncatingIfNeeded: number(&s))
        case "PPid": parent = Int32(truncatingIfNeeded: number(&s))
        case "TracerPid": tracer = Int32(truncatingIfNeeded: number(&s))
        case "Uid": userIDs = numbers(&s).map { UInt32(truncatingIfNeeded: $0) }
        case "Gid": groupIDs = numbers(&s).map { UInt32(truncatingIfNeeded: $0) }
        case "NSpid": namespacePIDs = numbers(&s).map { Int32(truncatingIfNeeded: $0) }
        case "Threads": threadCount = number(&s)
        case "SigPnd": pendingSignals = mask(&s)
        case "ShdPnd": sharedPendingSignals = mask(&s)
        case "SigBlk": blockedSignals = mask(&s)
        case "SigIgn": ignoredSignals = mask(&s)
        case "SigCgt": caughtSignals = mask(&s)
        case "CapEff": effectiveCapabilities = mask(&s)
        case "CapPrm": permittedCapabilities = mask(&s)
        case "CapBnd": boundingCapabilities = mask(&s)
        case "NoNewPrivs": noNewPrivileges = number(&s) != 0
        case "Seccomp": seccomp = Seccomp(rawValue: number(&s)) ?? .filter
        case "Seccomp_filters": seccompFilterCount = number(&s)
        default: break
        }
    }

    public static func of(pid: Int32) throws(SystemError) -> ProcessStatus {
        let bytes = try FileIO.read("/proc/\(pid)/status")
        return ProcessStatus(bytes.span)
    }
    public static func of(thread: Int32, in pid: Int32) throws(SystemError) -> ProcessStatus {
        let bytes = try FileIO.read("/proc/\(pid)/task/\(thread)/status")
        return ProcessStatus(bytes.span)
    }
}
