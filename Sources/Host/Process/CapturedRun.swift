import CLinux
import Glibc

/// What a program wrote and how it ended.
public struct CapturedRun: Sendable {
    public var status: ExitStatus
    public var output: [UInt8]
    public var errors: [UInt8]
    /// Output beyond the limit was read and thrown away.
    public var truncated = false
    /// The time was over and the program was killed.
    public var timedOut = false

    public var outputText: String { String(decoding: output, as: UTF8.self) }
    public var errorText: String { String(decoding: errors, as: UTF8.self) }
}

extension Spawn {
    /// Runs a program to its end and returns what it wrote. For small tools, not on the data path.
    /// - Parameters:
    ///   - limit: bytes kept of each of the two outputs.
    ///   - timeout: then the program gets SIGKILL.
    public static func run(
        _ program: String, _ arguments: [String] = [], environment: [String]? = nil, limit: Int = 1 << 20,
        timeout: Duration = .seconds(30)
    ) throws(SystemError) -> CapturedRun {
        var spawn = Spawn(program, arguments)
        spawn.environment = environment
        let output = try Pipe(), errors = try Pipe()
        spawn.descriptors = [1: output.write.raw, 2: errors.write.raw]
        let child = try spawn.start()
        let outputEnd = output.closeWriteEnd(), errorEnd = errors.closeWriteEnd()
        var result = CapturedRun(status: .exited(0), output: [], errors: [])
        do {
            let deadline = MonotonicInstant.now + timeout
            let complete = try collect(outputEnd.raw, errorEnd.raw, limit: limit, until: deadline, into: &result)
            // A grandchild may hold the pipes open after the child's end: the pipes' end isn't awaited forever.
            if !complete, try child.wait(until: .now) == nil {
                result.timedOut = true
                try child.kill(SIGKILL)
            }
            if let status = try child.wait(until: deadline) {
                result.status = status
            } else {
                result.timedOut = true
                try child.kill(SIGKILL)
                result.status = try child.wait() ?? .signaled(SIGKILL)
            }
        } catch {
            _ = try? child.kill(SIGKILL)
            _ = try? child.wait()
            throw error
        }
        return result
    }

    /// - Returns: false if the deadline passed before both ends closed.
    private static func collect(
        _ output: Int32, _ errors: Int32, limit: Int, until deadline: MonotonicInstant, into result: inout CapturedRun
    ) throws(SystemError) -> Bool {
        var outputOpen = true, errorsOpen = true
        while outputOpen || errorsOpen {
            let ready = try Poll.wait(
                [(outputOpen ? output : -1, .input), (errorsOpen ? errors : -1, .input)], until: deadline)
            if ready.allSatisfy(\.isEmpty) { return false }
            if !ready[0].isEmpty { outputOpen = try append(from: output, to: &result.output, limit, &result.truncated) }
            if !ready[1].isEmpty { errorsOpen = try append(from: errors, to: &result.errors, limit, &result.truncated) }
        }
        return true
    }

    private static func append(from descriptor: Int32, to bytes: inout [UInt8], _ limit: Int, _ truncated: inout Bool)
        throws(SystemError) -> Bool
    {
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        let n = try checkErrno("read", "pipe", retrying { read(descriptor, &chunk, chunk.count) })
        let room = max(limit - bytes.count, 0)
        bytes.append(contentsOf: chunk[..<min(n, room)])
        if n > room { truncated = true }
        return n > 0
    }
}

/// Both ends of a pipe, close-on-exec.
public struct Pipe: ~Copyable, Sendable {
    public let read: OwnedDescriptor
    public let write: OwnedDescriptor

    public init() throws(SystemError) {
        var ends: [Int32] = [-1, -1]
        try check("pipe2", "", linux_pipe(&ends, O_CLOEXEC))
        read = OwnedDescriptor(taking: ends[0])
        write = OwnedDescriptor(taking: ends[1])
    }

    /// Keeps the reading end only.
    public consuming func closeWriteEnd() -> OwnedDescriptor { read }
    /// Keeps the writing end only.
    public consuming func closeReadEnd() -> OwnedDescriptor { write }
}
