import Glibc
import Host

/// Our end of the socket to the library in a restore's CRIU. Preload/martlet-criu.h has the messages.
final class RestoreControl: Sendable {
    enum Message: Equatable {
        /// A RESTORE request came and waits. The folder is of cgroup v2, nil if CRIU is in none.
        case held(pid: Int32, cgroup: String?)
        case stage(String)
        /// Where the arena for common pages is; nil: not there.
        case common(address: UInt64?)
        /// All is restored; the library writes to cgroup.freeze now.
        case freezing
        /// All is restored; tasks are stopped by ptrace until `go`.
        case waiting(errno: Int32)

        init?(_ text: String) {
            let words = text.split(separator: " ", maxSplits: 2).map(String.init)
            switch (words.first, words.count) {
            case ("held", 3):
                guard let pid = Int32(words[1]) else { return nil }
                self = .held(pid: pid, cgroup: words[2] == "-" ? nil : words[2])
            case ("stage", 2): self = .stage(words[1])
            case ("common", 2):
                guard let address = UInt64(words[1], radix: 16) else { return nil }
                self = .common(address: address == 0 ? nil : address)
            case ("ready", 2) where words[1] == "freezing": self = .freezing
            case ("ready", 3) where words[1] == "waiting":
                guard let code = Int32(words[2]) else { return nil }
                self = .waiting(errno: code)
            default: return nil
            }
        }
    }

    private let socket: UnixSocket

    init(_ socket: consuming UnixSocket) { self.socket = socket }

    var descriptor: Int32 { socket.descriptor.raw }

    /// The next message; nil when CRIU is gone.
    func receive() throws(CriuError) -> Message? {
        let bytes: [UInt8]
        do { bytes = try socket.receiveMessage() } catch {
            if error.errno == ECONNRESET { return nil }
            throw .system(error)
        }
        if bytes.isEmpty { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let message = Message(text) else { throw .shim(what: "an unknown message: \(text.prefix(100))") }
        return message
    }

    /// Lets the held request go on.
    func release(options: [UInt8], freeze cgroup: String?, newCgroupNamespace: Bool) throws(CriuError) {
        var text = "release options="
        let digits = Array("0123456789abcdef")
        for byte in options {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        if newCgroupNamespace { text += " cgroupns" }
        if let cgroup { text += " freeze=\(cgroup)" }
        try send(text)
    }

    /// Asks for an arena. Answered by `common`.
    func mapCommon(bytes: UInt64) throws(CriuError) { try send("common \(String(bytes, radix: 16))") }

    func go() throws(CriuError) { try send("go") }

    private func send(_ text: String) throws(CriuError) {
        do { try socket.send(Array(text.utf8)) } catch { throw .system(error) }
    }
}
