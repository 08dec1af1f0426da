import Glibc
import Host

/// Gathers bytes for a socket.
struct ByteOutput: ~Copyable {
    private var buffer: [UInt8] = []
    private let socket: OwnedDescriptor
    /// MSG_NOSIGNAL (bits/socket.h).
    static let noSignal: Int32 = 0x4000
    /// Bytes sent so far.
    private(set) var sent = 0

    init(_ socket: consuming OwnedDescriptor) {
        self.socket = socket
        buffer.reserveCapacity(512 << 10)
    }

    var raw: Int32 { socket.raw }

    mutating func put<N: FixedWidthInteger>(_ number: N) {
        withUnsafeBytes(of: number.littleEndian) { buffer.append(contentsOf: $0) }
    }
    mutating func put(_ bytes: [UInt8]) { buffer.append(contentsOf: bytes) }
    mutating func put(_ bytes: UnsafeRawBufferPointer) { buffer.append(contentsOf: bytes) }

    /// Sends if much has gathered.
    mutating func flushIfFull() throws(SystemError) { if buffer.count >= 256 << 10 { try flush() } }

    /// - Throws: EAGAIN when the socket's time limit is over, EPIPE when the peer is gone (no signal).
    mutating func flush() throws(SystemError) {
        var done = 0
        while done < buffer.count {
            let start = done, room = buffer.count - done
            let n = buffer.withUnsafeBytes { send(socket.raw, $0.baseAddress! + start, room, ByteOutput.noSignal) }
            if n < 0 && errno == EINTR { continue }
            guard n > 0 else { throw SystemError(call: "send", subject: "the file stream", errno: n < 0 ? errno : EPIPE) }
            done += n
        }
        sent += done
        buffer.removeAll(keepingCapacity: true)
    }
}

/// Takes bytes from a socket.
struct ByteInput: ~Copyable {
    private let socket: Int32
    private var buffer = [UInt8](repeating: 0, count: 256 << 10)
    private var start = 0, end = 0

    /// - Parameter socket: outlives this.
    init(_ socket: Int32) { self.socket = socket }

    /// Whether the stream has come to its end; waits for a byte.
    mutating func isAtEnd() throws(SystemError) -> Bool {
        if start < end { return false }
        return try fill() == 0
    }

    private mutating func fill() throws(SystemError) -> Int {
        (start, end) = (0, 0)
        while true {
            let n = recv(socket, &buffer, buffer.count, 0)
            if n < 0 && errno == EINTR { continue }
            guard n >= 0 else { throw SystemError(call: "recv", subject: "the file stream", errno: errno) }
            end = n
            return n
        }
    }

    mutating func take(into bytes: UnsafeMutableRawBufferPointer) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            if try isAtEnd() {
                throw SystemError(call: "recv", subject: "the file stream", errno: ECONNRESET, hint: "it ended within a message")
            }
            let n = min(end - start, bytes.count - done)
            buffer.withUnsafeBytes {
                bytes.baseAddress!.advanced(by: done).copyMemory(from: $0.baseAddress! + start, byteCount: n)
            }
            (start, done) = (start + n, done + n)
        }
    }

    mutating func take<N: FixedWidthInteger>(_: N.Type) throws(SystemError) -> N {
        var number = N.zero
        var problem: SystemError?
        withUnsafeMutableBytes(of: &number) { bytes in
            do throws(SystemError) { try take(into: bytes) } catch { problem = error }
        }
        if let problem { throw problem }
        return N(littleEndian: number)
    }

    mutating func take(_ count: Int) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var problem: SystemError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(SystemError) { try take(into: buffer) } catch { problem = error }
        }
        if let problem { throw problem }
        return bytes
    }
}

extension [UInt8] {
    /// The bytes as a zero-terminated path.
    func withPath<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
        withUnsafeTemporaryAllocation(byteCount: count + 1, alignment: 1) { copy in
            copy.copyBytes(from: self)
            copy[count] = 0
            return body(copy.baseAddress!.assumingMemoryBound(to: CChar.self))
        }
    }

    /// For messages.
    var shownPath: String { String(decoding: self, as: UTF8.self) }
}
