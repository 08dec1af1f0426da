import CLinux
import Glibc

/// Moves a stream of bytes from one descriptor to another until it ends; splice(2), which needs a pipe at one end, or by copying.
public enum Pump {
    private static let most = 1 << 20
    /// F_SETPIPE_SZ of linux/fcntl.h; more than pipe-max-size (1 MiB) needs CAP_SYS_RESOURCE.
    private static let setPipeSize: Int32 = 1031

    /// Gives a pipe more room than its 64 KiB, so that both ends wake less often. Anything else stays as it is.
    public static func widen(_ descriptor: Int32) { _ = fcntl(descriptor, setPipeSize, Int32(1 << 20)) }

    /// Returns at the end of the stream.
    /// - Parameter patience: how long the taking end may take nothing at all; nil waits forever.
    public static func run(from source: Int32, to target: Int32, patience: Duration? = nil) throws(SystemError) {
        var splices = true
        var buffer: [UInt8] = []
        while true {
            _ = try Poll.wait(source, for: .input, until: nil)
            let room = try Poll.wait(target, for: .output, until: patience.map { .now + $0 })
            guard !room.isEmpty else { throw SystemError(call: "write", subject: "the other end", errno: ETIMEDOUT) }
            if splices {
                let moved = linux_splice(source, target, most)
                switch moved {
                case 0: return
                case 1...: continue
                case -Int(EINTR), -Int(EAGAIN): continue
                case -Int(EINVAL): splices = false
                default: try check("splice", "descriptors \(source) and \(target)", moved)
                }
            }
            if buffer.isEmpty { buffer = [UInt8](repeating: 0, count: 256 << 10) }
            let count = try checkErrno("read", "descriptor \(source)", retrying { read(source, &buffer, buffer.count) })
            if count == 0 { return }
            try FileIO.writeAll(buffer.span.bytes.extracting(0..<count), to: target, name: "descriptor \(target)")
        }
    }
}
