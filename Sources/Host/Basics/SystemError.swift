import Glibc

/// A system call that failed: what was tried, on what, and what the kernel said.
public struct SystemError: Error, Hashable, CustomStringConvertible {
    /// Name of the call or step, as in the manual page: `openat`, `UFFDIO_REGISTER`.
    public var call: String
    /// What it was tried on: a path, `pid 12`, a range. May be empty.
    public var subject: String
    /// The error number, positive.
    public var errno: Int32
    /// What the reader may do about it, if it is known.
    public var hint: String?

    public init(call: String, subject: String, errno: Int32, hint: String? = nil) {
        self.call = call
        self.subject = subject
        self.errno = errno
        self.hint = hint
    }

    public var description: String {
        let what = subject.isEmpty ? call : "\(call) on \(subject)"
        let text = "\(what): \(SystemError.message(errno)) (errno \(errno))"
        return hint.map { "\(text); \($0)" } ?? text
    }

    /// The C library's text for an error number.
    public static func message(_ errno: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 128)
        _ = strerror_r(errno, &buffer, buffer.count)
        let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Turns the `-errno` result of a shim into a value or an error.
/// - Parameter subject: made only if the call failed.
@discardableResult @inline(__always)
func check(_ call: StaticString, _ subject: @autoclosure () -> String = "", _ result: Int) throws(SystemError) -> Int {
    if result < 0 { throw SystemError(call: "\(call)", subject: subject(), errno: Int32(-result)) }
    return result
}

/// The same for a call of the C library that answers -1 and sets `errno`.
@discardableResult @inline(__always)
func checkErrno(_ call: StaticString, _ subject: @autoclosure () -> String = "", _ result: Int) throws(SystemError) -> Int {
    if result < 0 {
        let code = Glibc.errno
        throw SystemError(call: "\(call)", subject: subject(), errno: code)
    }
    return result
}
