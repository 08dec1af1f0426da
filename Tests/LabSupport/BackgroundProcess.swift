import Glibc
public import Host

/// A program that runs beside the test and tells lines.
public final class BackgroundProcess: Sendable {
    private struct Told {
        var lines: [String] = []
        var errors: [String] = []
        var openEnds = 2
    }

    private let child: ChildProcess
    private let told = Monitor(Told())

    init(_ program: String, _ arguments: [String], environment: [String]) throws {
        var spawn = Spawn(program, arguments)
        spawn.environment = environment
        let output = try Pipe(), errors = try Pipe()
        spawn.descriptors = [1: output.write.raw, 2: errors.write.raw]
        child = try spawn.start()
        read(SharedDescriptor(output.closeWriteEnd())) { $0.lines.append($1) }
        read(SharedDescriptor(errors.closeWriteEnd())) { $0.errors.append($1) }
    }

    private func read(_ end: SharedDescriptor, _ keep: @escaping @Sendable (inout Told, String) -> Void) {
        let told = told
        _ = try? Host.Thread(named: "lines") {
            var buffer: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 16 << 10)
            while true {
                let n = Glibc.read(end.raw, &chunk, chunk.count)
                guard n > 0 else { break }
                buffer += chunk[..<n]
                while let newline = buffer.firstIndex(of: 10) {
                    let line = String(decoding: buffer[..<newline], as: UTF8.self)
                    buffer.removeFirst(newline + 1)
                    told.withLock { keep(&$0, line) }
                }
            }
            told.withLock { told in
                if !buffer.isEmpty { keep(&told, String(decoding: buffer, as: UTF8.self)) }
                told.openEnds -= 1
            }
        }
    }

    /// What it has told until now.
    public var lines: [String] { told.withLock { $0.lines } }
    public var errors: String { told.withLock { $0.errors.joined(separator: "\n") } }

    /// Waits for a line that the condition likes.
    /// - Returns: nil if the output ended or the time was over first.
    public func line(within limit: Duration = .seconds(60), where condition: (String) -> Bool) -> String? {
        var seen = 0
        let found: String?? = told.wait(until: .now + limit) { told in
            while seen < told.lines.count {
                if condition(told.lines[seen]) { return .some(told.lines[seen]) }
                seen += 1
            }
            return told.openEnds == 0 ? .some(nil) : nil
        }
        return found ?? nil
    }

    /// Waits for its end and for all its output.
    /// - Returns: nil if the time was over first.
    public func end(within limit: Duration) throws -> ExitStatus? {
        let deadline = MonotonicInstant.now + limit
        guard let status = try child.wait(until: deadline) else { return nil }
        // Something that it started may hold the pipe's end for longer than we care.
        _ = told.wait(until: min(deadline, .now + .seconds(5))) { $0.openEnds == 0 ? true : nil }
        return status
    }

    /// Ends it, gently at first.
    public func stop() {
        _ = try? child.kill(SIGTERM)
        if (try? child.wait(until: .now + .seconds(5))) == nil {
            _ = try? child.kill(SIGKILL)
            _ = try? child.wait()
        }
    }
}
