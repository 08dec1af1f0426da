import Glibc
public import Host

/// One `criu swrk`: a CRIU that serves this process over a socket pair and ends with it.
///
/// Calls block: run them on a thread. Killing CRIU at any moment of a dump leaves the source's tasks running
/// (restore.md), so an abandoned session rolls back by itself, unless the cgroup was frozen again.
public final class CriuSession: Sendable {
    public enum Event: Hashable, Sendable {
        /// CRIU waits for `answer`. Names: `pre-dump`, `network-lock`, `post-dump`, `network-unlock`...
        case notification(String, pid: Int32)
        /// The request is done, and was successful.
        case done(CriuResponse)
    }

    private let socket: SharedDescriptor
    private let child: ChildProcess
    private let logPath: String
    private let what: String

    /// Starts CRIU and sends a request.
    /// - Parameters:
    ///   - program: `criu`, or a path.
    ///   - environment: more variables, KEY=VALUE: the shim's (`CriuShim.environment`). They go over inherited ones.
    ///   - logPath: where the request's options make CRIU log, for errors.
    ///   - what: the request in words, for errors.
    ///   - descriptors: more of them for CRIU, by the numbers that they have there, above 3; duplicated.
    public init(
        _ request: CriuRequest, what: String, program: String = "criu", environment: [String] = [], logPath: String = "",
        descriptors: [Int32: Int32] = [:]
    ) throws(CriuError) {
        self.logPath = logPath
        self.what = what
        do {
            let ends = try UnixSocket.pair(.messages)
            socket = SharedDescriptor(try ends.first.descriptor.duplicate())
            var spawn = Spawn(program, ["swrk", "3"])
            spawn.environment = Self.merged(environment)
            spawn.descriptors = descriptors
            spawn.descriptors[3] = ends.second.descriptor.raw
            spawn.newSession = true  // a ^C at our terminal is for us to handle
            child = try spawn.start()
        } catch { throw .system(error) }
        try send(request)
    }

    /// Everything waits for this CRIU from now on.
    public func hurry() { Urgency.raise(child.pid, to: .chain) }

    /// CRIU's process.
    public var pid: Int32 { child.pid }
    /// For poll: readable when `next` would not block.
    public var descriptor: Int32 { socket.raw }

    /// Waits for the next notification or the answer.
    public func next(within limit: Duration) throws(CriuError) -> Event {
        let bytes: [UInt8]
        do {
            if try Poll.wait(socket.raw, for: .input, until: .now + limit).isEmpty {
                throw CriuError.timedOut(what: what, after: limit, log: CriuLog(path: logPath))
            }
            bytes = try receive()
        } catch let error as CriuError { throw error } catch let error as SystemError { throw .system(error) } catch {
            throw .protocolViolation(what: "\(error)")
        }
        if bytes.isEmpty { throw died() }
        let response: CriuResponse
        do { response = try CriuResponse(bytes) } catch {
            throw .protocolViolation(what: "a message that can't be decoded: \(error)")
        }
        if response.kind == .notify { return .notification(response.script, pid: response.pid) }
        guard response.success else {
            throw .refused(what: what, errno: response.errorNumber, message: response.errorMessage, log: CriuLog(path: logPath))
        }
        return .done(response)
    }

    /// Answers the notification that `next` gave. At `post-dump` success makes CRIU kill the dumped tasks and failure
    /// makes it resume them; the request then fails (`refused`), which is what was asked for.
    public func answer(success: Bool) throws(CriuError) { try send(.verdict(success: success)) }

    /// Answers every notification with success up to one by its name, which is left unanswered.
    /// - Parameter limit: for each step.
    public func advance(to script: String, within limit: Duration) throws(CriuError) {
        while true {
            switch try next(within: limit) {
            case .notification(script, _): return
            case .notification: try answer(success: true)
            case .done: throw .protocolViolation(what: "the end of the \(what) without \(script)")
            }
        }
    }

    /// Answers notifications with success until the request is done.
    /// - Parameter limit: for each step.
    public func finish(within limit: Duration) throws(CriuError) -> CriuResponse {
        while true {
            switch try next(within: limit) {
            case .notification: try answer(success: true)
            case .done(let response): return response
            }
        }
    }

    /// Waits for CRIU's own end. After a dump that killed many tasks it can take seconds: off the hot path.
    @discardableResult
    public func waitForEnd(within limit: Duration) throws(CriuError) -> ExitStatus? {
        do { return try child.wait(until: .now + limit) } catch { throw .system(error) }
    }

    /// Kills CRIU and reaps it: a dump is rolled back, at once and by the kernel.
    public func kill() {
        _ = try? child.kill(SIGKILL)
        _ = try? child.wait(until: .now + .seconds(10))
    }

    private func died() -> CriuError {
        let status = (try? child.wait(until: .now + .seconds(5))) ?? nil
        return .died(what: what, status: status.map { "\($0)" } ?? "still there", log: CriuLog(path: logPath))
    }

    private func send(_ request: CriuRequest) throws(CriuError) {
        let bytes = request.encoded()
        let sent = bytes.withUnsafeBytes { Glibc.send(socket.raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if sent == bytes.count { return }
        if errno == EPIPE || errno == ECONNRESET { throw died() }
        throw .system(SystemError(call: "send", subject: "criu's socket", errno: errno))
    }

    private func receive() throws(SystemError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = buffer.withUnsafeMutableBytes { recv(socket.raw, $0.baseAddress, $0.count, 0) }
            if count >= 0 { return Array(buffer[..<count]) }
            if errno == ECONNRESET { return [] }
            if errno != EINTR { throw SystemError(call: "recv", subject: "criu's socket", errno: errno) }
        }
    }

    /// Our environment with more variables, which win.
    static func merged(_ more: [String]) -> [String]? {
        if more.isEmpty { return nil }
        let names = Set(more.compactMap { $0.split(separator: "=", maxSplits: 1).first })
        return environmentOfSelf().filter { variable in
            variable.split(separator: "=", maxSplits: 1).first.map { !names.contains($0) } ?? false
        } + more
    }

    private static func environmentOfSelf() -> [String] {
        var all: [String] = []
        var entry = environ
        while let text = entry.pointee {
            all.append(String(cString: text))
            entry += 1
        }
        return all
    }
}
