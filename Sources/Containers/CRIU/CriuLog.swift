import Glibc
import Host

/// CRIU's log, of which an operator needs the few lines that say what went wrong.
public struct CriuLog: Hashable, Sendable {
    /// Where the whole log lies.
    public var path: String
    /// Lines of the form `(00.012345) Error (criu/files.c:123): ...`, without the time, first ones first.
    public var errors: [String]
    /// The last lines, whatever they say.
    public var tail: [String]

    /// Bytes read from the end: a looping CRIU has written gigabytes.
    static let bytesRead = 256 << 10
    static let linesKept = 12

    /// Reads a log's end. A log that isn't there gives no lines.
    public init(path: String) {
        self.init(path: path, text: String(decoding: (try? Self.end(of: path)) ?? [], as: UTF8.self))
    }

    init(path: String, text: String) {
        self.path = path
        let lines = text.split(separator: "\n").map(String.init)
        errors = Array(lines.compactMap(Self.error).prefix(Self.linesKept))
        tail = Array(lines.suffix(Self.linesKept))
    }

    /// What to show: the errors, or the last lines if CRIU gave none (it was killed, or logs at a level without any).
    public var summary: String { (errors.isEmpty ? tail : errors).joined(separator: " | ") }

    private static func error(_ line: String) -> String? {
        guard let start = line.range(of: "Error (") else { return nil }
        // Only where a message begins: behind the time stamp and a process's number.
        let prefix = line[..<start.lowerBound]
        guard prefix.allSatisfy({ $0.isNumber || " ().:".contains($0) }) else { return nil }
        return String(line[start.lowerBound...])
    }

    private static func end(of path: String) throws(SystemError) -> [UInt8] {
        let file = try OwnedDescriptor(opening: path, flags: O_RDONLY)
        let size = lseek(file.raw, 0, Int32(SEEK_END))
        let start = max(size - bytesRead, 0)
        var bytes = [UInt8](repeating: 0, count: bytesRead)
        let count = pread(file.raw, &bytes, bytes.count, start)
        return Array(bytes.prefix(max(count, 0)))
    }
}

extension String {
    /// Where a text occurs first. (Foundation's, without Foundation.)
    fileprivate func range(of text: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
