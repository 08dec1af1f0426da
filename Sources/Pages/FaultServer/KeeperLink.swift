import CLinux
import Glibc
public import Host

/// The session's end of the connection to its keeper: feeds it with descriptors, and sees its death.
///
/// A descriptor sent is safe at once: the kernel keeps it in the keeper's socket even if the session dies before the
/// keeper looks. Sending never blocks the fault thread; what the socket doesn't take is kept and sent later.
public final class KeeperLink: @unchecked Sendable {
    // SAFETY: handed to one fault server, whose fault thread is the only one that uses it.
    private let socket: UnixSocket
    private var backlog: [(message: KeeperMessage, task: FaultTask?)] = []
    var raw: Int32 { socket.descriptor.raw }
    var hasBacklog: Bool { !backlog.isEmpty }

    /// Takes over the session's end of a `UnixSocket.pair(.messages)`, whose other end the keeper got.
    public init(_ socket: consuming UnixSocket) {
        _ = fcntl(socket.descriptor.raw, F_SETFL, fcntl(socket.descriptor.raw, F_GETFL) | O_NONBLOCK)
        self.socket = socket
    }

    /// The first message: store, journal and who is to be watched.
    func begin(store: PageStore, journal: TaskJournal) throws(SystemError) {
        let own = try Pidfd(pid: getpid())
        let message = KeeperMessage(kind: .begin, number: KeeperMessage.version)
        let held = [store.dataDescriptor, store.indexDescriptor, journal.descriptor.raw, own.descriptor.raw]
        try socket.send(message.bytes, descriptors: held)
    }

    func send(_ task: FaultTask) { enqueue(KeeperMessage(kind: .task, number: task.number), task) }
    func sendForget(_ number: UInt32) {
        backlog.removeAll { $0.task?.number == number }
        enqueue(KeeperMessage(kind: .forget, number: number), nil)
    }
    func sendRelease() { enqueue(KeeperMessage(kind: .release, number: 0), nil) }

    private func enqueue(_ message: KeeperMessage, _ task: FaultTask?) {
        backlog.append((message, task))
        flush()
    }

    /// Sends what waits, as far as the socket takes it. A dead keeper shows at `receive`.
    func flush() {
        var sent = 0
        for (message, task) in backlog {
            guard (try? socket.send(message.bytes, descriptors: task.map { [$0.port.raw] } ?? [])) != nil else { break }
            sent += 1
        }
        backlog.removeFirst(sent)
    }

    enum Heard { case nothing, released, lost }

    func receive() -> Heard {
        var buffer = [UInt8](repeating: 0, count: KeeperMessage.size)
        do throws(SystemError) {
            let count = try socket.receive(into: &buffer).count
            return KeeperMessage(buffer.prefix(count))?.kind == .released ? .released : .lost
        } catch { return error.errno == EAGAIN ? .nothing : .lost }
    }
}

/// What session and keeper say to each other: 8 bytes, little-endian, with descriptors beside some.
struct KeeperMessage {
    enum Kind: UInt32 {
        /// With the descriptors of data, index, journal and the session's pidfd; the number is the version.
        case begin = 1
        /// With a userfaultfd; the number is the task's in the journal.
        case task
        /// A task is gone: close its userfaultfd.
        case forget
        /// Nothing is to be kept any more: close all, answer `released`, end.
        case release
        case released
    }
    var kind: Kind
    var number: UInt32
    static let size = 8
    static let version: UInt32 = 1

    init(kind: Kind, number: UInt32) { (self.kind, self.number) = (kind, number) }

    init?(_ bytes: ArraySlice<UInt8>) {
        guard bytes.count == Self.size else { return nil }
        func word(_ part: ArraySlice<UInt8>) -> UInt32 { part.reversed().reduce(0) { $0 << 8 | UInt32($1) } }
        guard let kind = Kind(rawValue: word(bytes.prefix(4))) else { return nil }
        self.init(kind: kind, number: word(bytes.suffix(4)))
    }

    var bytes: [UInt8] {
        [kind.rawValue, number].flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
    }
}
