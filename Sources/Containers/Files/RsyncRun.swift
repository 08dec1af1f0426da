import CLinux
import Glibc
public import Host

/// A running rsync, client or server.
public final class RsyncRun: Sendable {
    private let child: ChildProcess
    /// What it prints, in a file without a name: a pipe could fill and block it.
    private let output: SharedDescriptor

    /// Starts a confined rsync.
    /// - Parameters:
    ///   - tunnel: a stream to the peer's rsync; duplicated, the caller closes its own.
    ///   - list: the reading end of the list of paths, for the client with `listed`.
    static func start(
        client kind: RsyncCommand.Kind, _ confinement: Confinement, tunnel: borrowing OwnedDescriptor, list: Int32? = nil
    ) throws(SystemError) -> RsyncRun {
        try start(
            confinement, RsyncCommand.client(kind, folders: confinement.folders),
            [RsyncCommand.tunnelNumber: tunnel.raw, 0: list].compactMapValues { $0 }, outputs: [1, 2])
    }

    static func start(
        server kind: RsyncCommand.Kind, _ confinement: Confinement, tunnel: borrowing OwnedDescriptor
    ) throws(SystemError) -> RsyncRun {
        try start(confinement, RsyncCommand.server(kind), [0: tunnel.raw, 1: tunnel.raw], outputs: [2])
    }

    private static func start(
        _ confinement: Confinement, _ arguments: [String], _ descriptors: [Int32: Int32], outputs: [Int32]
    ) throws(SystemError) -> RsyncRun {
        let temporaryFile: Int32 = 0o20200000  // O_TMPFILE, Linux 3.11
        let output = try OwnedDescriptor(opening: "/tmp", flags: temporaryFile | O_RDWR | O_APPEND, mode: 0o600)
        var spawn = Spawn(RsyncCommand.program, arguments)
        spawn.workingDirectory = "/tree"
        spawn.descriptors = descriptors
        for number in outputs { spawn.descriptors[number] = output.raw }
        spawn.newSession = true
        return RsyncRun(try confinement.start(spawn), SharedDescriptor(output))
    }

    private init(_ child: ChildProcess, _ output: SharedDescriptor) {
        self.child = child
        self.output = output
    }

    /// How much went over the wire, as rsync counts.
    public struct Traffic: Sendable, Hashable {
        public var sent = 0
        public var received = 0
    }

    /// Waits for the end.
    /// - Parameters:
    ///   - vanishedIsFine: files that went away while they were copied don't matter (status 24); not so in the freeze. The
    ///     destination's end may fail in a running round that the source calls incomplete: the source decides.
    ///   - deadline: then it is killed.
    @discardableResult
    public func finish(vanishedIsFine: Bool = false, until deadline: MonotonicInstant? = nil) throws(FileSyncError) -> Traffic {
        let status: Host.ExitStatus?
        do {
            let ended = try !Poll.wait(child.descriptor, for: .input, until: deadline).isEmpty
            endGroup()
            status = ended ? try child.wait() : nil
            if !ended { _ = try child.wait() }
        } catch { throw .system(error) }
        guard let status else { throw .timedOut }
        let text = printed()
        if status == .exited(0) || (vanishedIsFine && status == .exited(24)) { return Self.traffic(text) }
        throw .rsync(status: Self.words(status), output: Self.complaints(text))
    }

    /// rsync(1), EXIT VALUES. What went wrong at the peer comes as a number only when its words are lost on their way.
    static func words(_ status: Host.ExitStatus) -> String {
        let meanings: [Int32: String] = [
            2: "the two rsyncs did not agree on their protocol", 10: "the connection failed",
            11: "a file could not be read or written; at the destination that mostly means: No space left on device",
            12: "the other rsync ended", 22: "out of memory", 23: "some files could not be copied",
            30: "nothing came for too long",
        ]
        guard case .exited(let code) = status, let meaning = meanings[code] else { return "\(status)" }
        return "\(status) (\(meaning))"
    }

    /// The end of what it printed, without the names of what it copied.
    static func complaints(_ text: String) -> String {
        let lines = text.split(separator: "\n").filter { line in
            let isItem = line.utf8.count > 12 && "<>ch.*".contains(line.first ?? " ") && name(Array(line.utf8)[...]) != nil
            return !isItem
        }
        return String(lines.joined(separator: "\n").suffix(2000))
    }

    /// Ends it at once; what the destination has received so far stays.
    public func cancel() {
        endGroup()
        _ = try? child.wait()
    }

    /// Kills what is left of rsync and its helpers (the `cat` that reads the tunnel waits for the peer). They are a group
    /// of their own, whose number can't belong to another one while the leader isn't reaped.
    private func endGroup() { kill(-child.pid, SIGKILL) }

    /// All names that a full client spoke of because they existed when it looked. Relative to /tree.
    func names() throws(SystemError) -> [[UInt8]] {
        let size = Int(lseek(output.raw, 0, SEEK_END))
        var bytes = [UInt8](repeating: 0, count: max(size, 0)), done = 0
        while done < bytes.count {
            let (start, room) = (done, bytes.count - done)
            let n = bytes.withUnsafeMutableBytes { pread(output.raw, $0.baseAddress! + start, room, off_t(start)) }
            guard n > 0 else { throw SystemError(call: "pread", subject: "rsync's output", errno: n < 0 ? errno : EIO) }
            done += n
        }
        return bytes.split(separator: UInt8(ascii: "\n")).compactMap(Self.name)
    }

    /// `>f+++++++++ 0/name`: eleven signs, a space, the name; `\#012` stands for a byte, a folder ends with a slash.
    /// Or `file has vanished: "/tree/0/name"`, for one that was listed and then couldn't be opened: its old copy stays.
    /// Lines of another form give nothing, or a name that doesn't exist, which does no harm.
    static func name(_ line: ArraySlice<UInt8>) -> [UInt8]? {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        let vanished = Array("file has vanished: \"/tree/".utf8)
        if line.starts(with: vanished), line.last == UInt8(ascii: "\"") {
            return Self.name(
                (Array(">f.......... ".utf8.prefix(11)) + [UInt8(ascii: " ")] + line.dropFirst(vanished.count).dropLast())[...])
        }
        guard line.count > 12, line[line.startIndex + 11] == UInt8(ascii: " "), line.first != UInt8(ascii: "*"),
            digits.contains(line[line.startIndex + 12])
        else { return nil }
        let text = Array(line.dropFirst(12))
        var name: [UInt8] = [], at = 0
        while at < text.count {
            if at + 4 < text.count, text[at] == UInt8(ascii: "\\"), text[at + 1] == UInt8(ascii: "#"),
                text[at + 2...at + 4].allSatisfy(digits.contains)
            {
                name.append(text[at + 2...at + 4].reduce(0) { $0 &* 8 &+ ($1 - 0x30) })
                at += 5
            } else {
                name.append(text[at])
                at += 1
            }
        }
        if name.last == UInt8(ascii: "/") { name.removeLast() }
        return name
    }

    private func printed() -> String {
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        let size = max(Int(lseek(output.raw, 0, SEEK_END)), 0)
        let n = pread(output.raw, &bytes, bytes.count, off_t(max(size - bytes.count, 0)))
        return String(decoding: bytes.prefix(max(n, 0)), as: UTF8.self)
    }

    /// `sent 1234 bytes  received 56 bytes  860.00 bytes/sec`
    static func traffic(_ text: String) -> Traffic {
        var traffic = Traffic()
        let words = text.split { $0 == " " || $0 == "\n" }
        for (word, next) in zip(words, words.dropFirst()) {
            if word == "sent", let n = Int(next) { traffic.sent = n }
            if word == "received", let n = Int(next) { traffic.received = n }
        }
        return traffic
    }
}
