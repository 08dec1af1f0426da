import Glibc
import Host

/// The last lines of a program's standard error, and how it ended.
final class LastWords: Sendable {
    private struct Told {
        var lines: [String] = []
        var status: ExitStatus?
    }

    private let told = Monitor(Told())
    private static let keptLines = 8
    private static let longestLine = 400

    var last: String { told.withLock { $0.lines.last ?? "" } }
    var isOver: Bool { told.withLock { $0.status != nil } }

    /// - Returns: nil if it did not end in time.
    func end(within limit: Duration) -> (status: ExitStatus, lines: [String])? {
        told.wait(until: .now + limit) { told in told.status.map { ($0, told.lines) } }
    }

    /// Keeps what comes until its end, then reaps the program.
    func listen(_ errors: SharedDescriptor, _ child: ChildProcess) throws(SystemError) {
        _ = try Thread(named: "ssh") { [self] in
            var rest: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = read(errors.raw, &chunk, chunk.count)
                if count < 0 && errno == EINTR { continue }
                if count <= 0 { break }
                rest += chunk[..<count]
                while let newline = rest.firstIndex(of: 10) {
                    keep(rest[..<newline])
                    rest.removeFirst(newline + 1)
                }
                // A line without an end must not grow for ever.
                rest = Array(rest.prefix(Self.longestLine))
            }
            keep(rest[...])
            let status = (try? child.wait()) ?? .signaled(SIGKILL)
            told.withLock { $0.status = status }
        }
    }

    /// These lines go to a terminal: control characters don't pass.
    private func keep(_ bytes: ArraySlice<UInt8>) {
        let line = ControlHandler.printable(Array(bytes.prefix(Self.longestLine)))
        guard line.contains(where: { $0 != " " }) else { return }
        told.withLock { $0.lines = ($0.lines + [line]).suffix(Self.keptLines) }
    }
}
