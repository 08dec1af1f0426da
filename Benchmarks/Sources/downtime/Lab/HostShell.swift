import Glibc

/// A shell that stays open in a lab host. A step of a migration by hand costs it a millisecond; a fresh `lab/in` or ssh for each would add
/// its start to the peers' downtime.
final class HostShell {
    let host: String
    private let shell: Process
    private var count = 0

    init(_ lab: Lab, _ host: String) throws {
        self.host = host
        shell = try Process([lab.script("in"), host, "bash"])
        try run("exec 2>&1")
    }

    /// Of nsenter, which is in the host's mount namespace.
    var pid: pid_t { shell.pid }

    struct Answer {
        var status: Int32
        var output: String
    }

    /// Runs lines of bash and returns what they printed.
    func attempt(_ lines: String, seconds: Int64 = 600) throws -> Answer {
        count += 1
        let mark = "--- \(host) \(count) "
        shell.write("{ \(lines)\n} </dev/null; status=$?; echo; echo \"\(mark)$status\"")
        var output: [String] = []
        let deadline = now() + seconds * 1000 * millisecond
        while let line = try shell.readLine(until: deadline) {
            if line.hasPrefix(mark) {
                while output.last == "" { output.removeLast() }
                return Answer(status: Int32(line.dropFirst(mark.count)) ?? -1, output: output.joined(separator: "\n"))
            }
            output.append(line)
        }
        throw Failure("the shell on \(host) ended at: \(lines)")
    }

    /// The same for what must succeed.
    @discardableResult
    func run(_ lines: String, seconds: Int64 = 600) throws -> String {
        let answer = try attempt(lines, seconds: seconds)
        guard answer.status == 0 else { throw Failure("on \(host): \(lines)\nended with \(answer.status):\n\(answer.output)") }
        return answer.output
    }

    deinit {
        shell.endInput()
        _ = shell.wait()
    }
}
