import Glibc

/// A program with pipes at its input and output; its errors go to ours.
final class Process {
    let pid: pid_t
    private var input: Int32
    private let output: Int32
    private var buffer: [UInt8] = []

    init(_ words: [String]) throws {
        var toChild: [Int32] = [0, 0]
        var fromChild: [Int32] = [0, 0]
        guard pipe(&toChild) == 0, pipe(&fromChild) == 0 else { throw Failure("no pipes left") }
        // Other children must not hold these ends open; there is one thread here, so nothing is spawned in between.
        for end in toChild + fromChild { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, words[0], &actions, nil, &arguments, environ)
        close(toChild[0])
        close(fromChild[1])
        (input, output) = (toChild[1], fromChild[0])
        self.pid = pid
        guard code == 0 else {
            close(input)
            close(output)
            throw Failure("\(words[0]) did not start: \(String(cString: strerror(code)))")
        }
    }

    deinit {
        if input >= 0 { close(input) }
        close(output)
    }

    func write(_ text: String) { say(text, to: input) }

    /// Sends bytes and ends the input.
    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let n = bytes[sent...].withUnsafeBytes { Glibc.write(input, $0.baseAddress, $0.count) }
            if n <= 0 { break }
            sent += n
        }
        endInput()
    }

    func endInput() {
        if input >= 0 { close(input) }
        input = -1
    }

    /// The next line of its output without the line end; nil at the end.
    /// - Parameter deadline: of `now()`; then throws.
    func readLine(until deadline: Int64 = .max) throws -> String? {
        while true {
            if let end = buffer.firstIndex(of: 10) {
                let line = String(decoding: buffer[..<end], as: UTF8.self)
                buffer.removeFirst(end + 1)
                return line
            }
            guard try readMore(until: deadline) else { return nil }
        }
    }

    private func readMore(until deadline: Int64) throws -> Bool {
        if deadline != .max {
            var wait = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
            let left = max(0, (deadline - now()) / millisecond)
            guard poll(&wait, 1, Int32(clamping: left)) > 0 else { throw Failure("no answer in time") }
        }
        var chunk = [UInt8](repeating: 0, count: 65536)
        let n = read(output, &chunk, chunk.count)
        guard n > 0 else { return false }
        buffer += chunk[..<n]
        return true
    }

    /// All the rest of its output.
    func readToEnd() throws -> String {
        while try readMore(until: .max) {}
        defer { buffer = [] }
        return String(decoding: buffer, as: UTF8.self)
    }

    /// Its exit status, as a shell says it.
    func wait() -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
    }
}
