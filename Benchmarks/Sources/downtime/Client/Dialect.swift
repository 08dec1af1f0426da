import Glibc

/// What a service speaks: the question that the client repeats, and where a reply ends.
enum Dialect: String, Sendable {
    case redis
    case http
    case postgres
    /// A line is asked, a line comes back.
    case line

    /// The cheapest question that the service itself answers.
    var question: [UInt8] {
        switch self {
        case .redis: Array("PING\r\n".utf8)
        case .http: Array("GET /index.html HTTP/1.1\r\nHost: lab\r\n\r\n".utf8)
        case .postgres: Array("Q".utf8) + bigEndian(4 + 9) + Array("select 1".utf8) + [0]
        case .line: [10]
        }
    }

    /// What a new connection begins with.
    var greeting: [UInt8] {
        guard self == .postgres else { return [] }
        let words = Array("user\0postgres\0database\0postgres\0\0".utf8)
        // Version 3.0 of the protocol.
        return bigEndian(UInt32(8 + words.count)) + bigEndian(3 << 16) + words
    }

    /// Replies that come before the first question's.
    var greetingReplies: Int { self == .postgres ? 1 : 0 }

    /// How many connections may try at once whether the service is back, and how often: PostgreSQL starts a process for each.
    var probing: (most: Int, every: Int64) {
        self == .postgres ? (4, 50 * millisecond) : (64, 3 * millisecond)
    }

    /// The reply that begins at `start`, and where it ends; nil if it isn't complete.
    func reply(in bytes: [UInt8], from start: Int) throws(Connection.Failure) -> (content: [UInt8], end: Int)? {
        switch self {
        case .redis: try redisReply(bytes, start)
        case .http: try httpReply(bytes, start)
        case .postgres: try postgresReply(bytes, start)
        case .line: bytes[start...].firstIndex(of: 10).map { (Array(bytes[start..<$0]), $0 + 1) }
        }
    }

    /// A bulk string's content, or a simple string or number as text.
    private func redisReply(_ bytes: [UInt8], _ start: Int) throws(Connection.Failure) -> (content: [UInt8], end: Int)? {
        guard let end = bytes[start...].firstIndex(of: 10) else { return nil }
        let line = bytes[(start + 1)..<(end - 1)]
        guard bytes[start] != UInt8(ascii: "-") else { throw .refused(String(decoding: line, as: UTF8.self)) }
        guard bytes[start] == UInt8(ascii: "$") else { return (Array(line), end + 1) }
        let length = Int(String(decoding: line, as: UTF8.self)) ?? -1
        guard length >= 0 else { return ([], end + 1) }
        guard bytes.count >= end + 1 + length + 2 else { return nil }
        return (Array(bytes[(end + 1)..<(end + 1 + length)]), end + 1 + length + 2)
    }

    /// The head; a body of Content-Length is skipped.
    private func httpReply(_ bytes: [UInt8], _ start: Int) throws(Connection.Failure) -> (content: [UInt8], end: Int)? {
        var at = start
        while at + 4 <= bytes.count, !(bytes[at] == 13 && bytes[at + 1] == 10 && bytes[at + 2] == 13 && bytes[at + 3] == 10) {
            at += 1
        }
        guard at + 4 <= bytes.count else { return nil }
        let lines = String(decoding: bytes[start..<at], as: UTF8.self).split(whereSeparator: \.isNewline)
        guard lines.first?.contains(" 200 ") == true else { throw .refused(lines.first.map(String.init) ?? "") }
        let field = lines.first { $0.lowercased().hasPrefix("content-length:") }
        let length = field.flatMap { Int($0.split(separator: " ").last ?? "") } ?? 0
        guard bytes.count >= at + 4 + length else { return nil }
        return (Array(bytes[start..<at]), at + 4 + length)
    }

    /// Everything until ReadyForQuery.
    private func postgresReply(_ bytes: [UInt8], _ start: Int) throws(Connection.Failure) -> (content: [UInt8], end: Int)? {
        var at = start
        while at + 5 <= bytes.count {
            let length = bytes[(at + 1)..<(at + 5)].reduce(0) { $0 << 8 | Int($1) }
            guard at + 1 + length <= bytes.count else { return nil }
            if bytes[at] == UInt8(ascii: "E") {
                throw .refused(String(decoding: bytes[(at + 5)..<(at + 1 + length)], as: UTF8.self))
            }
            let kind = bytes[at]
            at += 1 + length
            if kind == UInt8(ascii: "Z") { return ([], at) }
        }
        return nil
    }
}

private func bigEndian(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }
