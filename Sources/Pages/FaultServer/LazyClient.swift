import Glibc
import Host

/// One connection on lazy-pages.socket: CRIU's side of the lazy restore, read byte by byte as far as it came.
///
/// For each task an int32 pid (inside the namespace; negative: a zombie, no descriptor follows), then one byte that
/// carries the userfaultfd. After the restore u32 0x52535446, then the end. Source: CRIU 4.2 criu/uffd.c, and measured.
final class LazyClient {
    let socket: UnixSocket
    private var pending: [UInt8] = []
    private var pid: Int32?  // a descriptor is due for it
    private(set) var isFinished = false

    /// LAZY_PAGES_RESTORE_FINISHED of CRIU; no pid is as large (PID_MAX_LIMIT is 2^22).
    private static let finish: UInt32 = 0x5253_5446
    private static let largestPid: Int32 = 1 << 22

    init(_ socket: consuming UnixSocket) {
        _ = fcntl(socket.descriptor.raw, F_SETFL, fcntl(socket.descriptor.raw, F_GETFL) | O_NONBLOCK)
        self.socket = socket
    }

    enum Step: ~Copyable {
        case task(pid: Int32, OwnedDescriptor)
        case finished
        /// Nothing more for now.
        case idle
        /// The end; nil after FIN, else what is wrong.
        case ended(String?)
    }

    /// Reads until something is complete. Never blocks.
    func next() -> Step {
        while true {
            // Never ask for more than is due: a receive call must not cross from one part to the next.
            var buffer = [UInt8](repeating: 0, count: pid == nil ? 4 - pending.count : 1)
            do throws(SystemError) {
                var received = try socket.receive(into: &buffer, maximumDescriptors: 4)
                let carried = received.descriptors.count
                if received.count == 0 { return .ended(isFinished ? nil : "the connection ended before FIN") }
                if let pid {
                    guard carried == 1, let descriptor = received.descriptors.takeFirst() else {
                        return .ended("\(carried) descriptors for pid \(pid) where a userfaultfd was due")
                    }
                    guard FaultPort.isUserfault(descriptor) else {
                        return .ended("the descriptor for pid \(pid) is no userfaultfd")
                    }
                    self.pid = nil
                    return .task(pid: pid, descriptor)
                }
                if carried > 0 { return .ended("a descriptor where a pid was due") }
                pending += buffer.prefix(received.count)
            } catch {
                return error.errno == EAGAIN ? .idle : .ended("\(error)")
            }
            if pending.count == 4 {
                if let step = word() { return step }
            }
        }
    }

    private func word() -> Step? {
        let word = pending.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        pending = []
        if word == Self.finish {
            isFinished = true
            return .finished
        }
        let number = Int32(bitPattern: word)
        if isFinished || number == 0 || number > Self.largestPid || number < -Self.largestPid {
            return .ended("0x\(String(word, radix: 16)) where a pid or FIN was due")
        }
        if number > 0 { pid = number }  // a zombie has no memory
        return nil
    }
}
