import CLinux
import Glibc
public import Host
import Synchronization

/// The destination's end of the native file stream, on a thread of its own until the source closes it.
///
/// The peer isn't trusted with anything outside the folders: `ReceivedTree` reaches an entry only through openat2 beneath the
/// folder's own view, through no symbolic link, no magic link and no other mount, and never opens what isn't a regular file or a
/// folder. The first failure in a pass stops its work; the rest of the pass is read and the failure told at its end.
public final class FileReceiver: Sendable {
    private let socket: SharedDescriptor
    private let thread: Mutex<Thread?> = Mutex(nil)
    private let progress = Monitor(Progress())

    private struct Progress: Sendable {
        /// The last pass of which all is done.
        var done: UInt64 = 0
        var problem: String?
        var isOver = false
    }

    /// - Parameters:
    ///   - folders: existing folders, in the order of the source's.
    ///   - socket: from the peer; taken over.
    public init(into folders: [String], over socket: consuming OwnedDescriptor) throws(SystemError) {
        self.socket = SharedDescriptor(socket)
        let trees = try folders.map { folder throws(SystemError) in try ReceivedTree(folder) }
        let started = try Thread(named: "files-in") { [self] in
            do {
                var pass = ReceivingPass(trees: trees, socket: self.socket) { [progress] number, failure in
                    progress.withLock { now in
                        if let failure { now.problem = failure } else { (now.done, now.problem) = (number, nil) }
                    }
                }
                try pass.serve()
            } catch { progress.withLock { $0.problem = "\(error)" } }
            progress.withLock { $0.isOver = true }
            // The peer hears of it at once: this descriptor stays open for as long as its owner lives.
            shutdown(self.socket.raw, Int32(SHUT_RDWR))
        }
        thread.withLock { $0 = started }
    }

    /// Breaks off and waits until nothing is written any more.
    public func stop() {
        shutdown(socket.raw, Int32(SHUT_RDWR))
        join()
    }

    /// Waits for the stream's end.
    /// - Returns: what broke it, if anything did.
    @discardableResult
    public func join() -> String? {
        let thread = self.thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        thread?.join()
        return progress.withLock { $0.problem }
    }

    /// Waits until all of a pass is done.
    /// - Throws: what failed in it, or that the stream or the time is over.
    public func wait(for number: UInt64, within limit: Duration) throws(SystemError) {
        let failure = progress.wait(until: .now + limit) { now -> String?? in
            if now.done >= number { return .some(nil) }
            if let problem = now.problem { return problem }
            return now.isOver ? "the stream ended before pass \(number)" : nil
        }
        switch failure {
        case .some(nil): return
        case .some(let what?): throw SystemError(call: "file stream", subject: "the last pass", errno: EIO, hint: what)
        case nil:
            throw SystemError(
                call: "file stream", subject: "the last pass", errno: ETIMEDOUT, hint: "it did not end within \(limit)")
        }
    }
}

/// Reads operations and has the trees carry them out.
private struct ReceivingPass: ~Copyable {
    private var trees: [ReceivedTree]
    private let socket: SharedDescriptor
    private var input: ByteInput
    private var failure: String?
    private var file: ReceivedFile?
    /// Folders whose metadata is set at the end, because every change in them moves their time.
    private var folders: [(tree: Int, path: [UInt8], metadata: FileMetadata)] = []
    private var buffer = [UInt8](repeating: 0, count: FileOperation.longestData)
    /// Told the number of each pass that ends, and what failed in it.
    private let ended: (UInt64, String?) -> Void

    /// More folders than this in one pass aren't believed: about 200 MB of memory.
    private static let mostFolders = 1_000_000

    init(trees: [ReceivedTree], socket: SharedDescriptor, ended: @escaping (UInt64, String?) -> Void) {
        (self.trees, self.socket, self.ended) = (trees, socket, ended)
        input = ByteInput(socket.raw)
    }

    mutating func serve() throws(SystemError) {
        while !(try input.isAtEnd()) { try one() }
    }

    private func malformed(_ what: String) -> SystemError {
        SystemError(call: "file stream", subject: "the source", errno: EPROTO, hint: what)
    }

    private mutating func one() throws(SystemError) {
        let code = try input.take(UInt8.self), flags = FileOperation.Flags(rawValue: try input.take(UInt8.self))
        let tree = Int(try input.take(UInt16.self)), length = Int(try input.take(UInt32.self))
        guard let operation = FileOperation(rawValue: code), tree < trees.count, length <= FileOperation.longestPath else {
            throw malformed("operation \(code), folder \(tree), path of \(length) bytes")
        }
        let path = try input.take(length)
        switch operation {
        case .remove: attempt(path) { pass throws(SystemError) in try pass.trees[tree].remove(path) }
        case .entry:
            let metadata = try takeMetadata()
            file = nil
            attempt(path) { pass throws(SystemError) in try pass.make(tree, path, metadata, flags) }
        case .data: try takeData()
        case .hole:
            let offset = try input.take(UInt64.self), count = try input.take(UInt64.self)
            attempt([]) { pass throws(SystemError) in try pass.file?.clear(offset, count) }
        case .done:
            attempt([]) { pass throws(SystemError) in try pass.file?.finish() }
            file = nil
        case .link:
            let count = Int(try input.take(UInt32.self))
            guard count <= FileOperation.longestPath else { throw malformed("a path of \(count) bytes") }
            let first = try input.take(count)
            attempt(path) { pass throws(SystemError) in try pass.trees[tree].link(path, to: first) }
        case .hash: try answerHashes(tree, path)
        case .end: try end(try input.take(UInt64.self))
        }
    }

    /// Notes the first failure; after it nothing more is done in this pass.
    private mutating func attempt(_ path: [UInt8], _ body: (inout Self) throws(SystemError) -> Void) {
        guard failure == nil else { return }
        do throws(SystemError) { try body(&self) } catch {
            failure = "\(path.shownPath): \(error)"
            file = nil
        }
    }

    private mutating func make(
        _ tree: Int, _ path: [UInt8], _ metadata: FileMetadata, _ flags: FileOperation.Flags
    ) throws(SystemError) {
        switch metadata.mode & LINUX_S_IFMT {
        case LINUX_S_IFDIR:
            try trees[tree].makeFolder(path, fresh: flags.contains(.fresh))
            guard folders.count < Self.mostFolders else { throw malformed("more than \(Self.mostFolders) folders in a pass") }
            folders.append((tree, path, metadata))
        case LINUX_S_IFREG: file = try trees[tree].openFile(path, metadata, flags)
        default: try trees[tree].makeSpecial(path, metadata)
        }
    }

    private mutating func takeMetadata() throws(SystemError) -> FileMetadata {
        var metadata = FileMetadata()
        metadata.mode = try input.take(UInt32.self)
        metadata.user = try input.take(UInt32.self)
        metadata.group = try input.take(UInt32.self)
        metadata.major = try input.take(UInt32.self)
        metadata.minor = try input.take(UInt32.self)
        metadata.size = try input.take(UInt64.self)
        metadata.modified = try input.take(Int64.self)
        let target = Int(try input.take(UInt32.self)), attributes = Int(try input.take(UInt32.self))
        guard target <= 4096, attributes <= FileOperation.longestAttributes, metadata.size <= UInt64(Int64.max) else {
            throw malformed("a link of \(target), attributes of \(attributes), a file of \(metadata.size) bytes")
        }
        metadata.target = try input.take(target)
        var left = attributes
        while left > 0 {
            let name = Int(try input.take(UInt16.self)), value = Int(try input.take(UInt32.self))
            left -= 6 + name + value
            guard left >= 0 else { throw malformed("attributes longer than they are") }
            metadata.attributes.append(FileAttribute(name: try input.take(name), value: try input.take(value)))
        }
        return metadata
    }

    private mutating func takeData() throws(SystemError) {
        let offset = try input.take(UInt64.self), count = Int(try input.take(UInt32.self))
        guard count <= FileOperation.longestData else { throw malformed("\(count) bytes of data at once") }
        var problem: SystemError?
        buffer.withUnsafeMutableBytes { bytes in
            do throws(SystemError) { try input.take(into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])) } catch {
                problem = error
            }
        }
        if let problem { throw problem }
        attempt([]) { pass throws(SystemError) in
            guard let file = pass.file else { throw pass.malformed("data without a file") }
            try file.write(pass.buffer, count, at: offset)
        }
    }

    private mutating func answerHashes(_ tree: Int, _ path: [UInt8]) throws(SystemError) {
        var hashes: [UInt64] = []
        attempt(path) { pass throws(SystemError) in hashes = try pass.trees[tree].hashes(path) }
        if let failure { return try answer(.failed, Array(failure.utf8)) }
        var payload: [UInt8] = []
        payload.reserveCapacity(hashes.count * 8)
        for hash in hashes { withUnsafeBytes(of: hash.littleEndian) { payload.append(contentsOf: $0) } }
        try answer(.hashes, payload)
    }

    /// What a pass leaves to its end, and the answer.
    private mutating func end(_ number: UInt64) throws(SystemError) {
        for (tree, path, metadata) in folders {
            attempt(path) { pass throws(SystemError) in try pass.trees[tree].setFolder(path, metadata) }
        }
        folders = []
        file = nil
        for tree in trees.indices { trees[tree].forget() }
        defer { failure = nil }
        ended(number, failure)
        if let failure { return try answer(.failed, Array(failure.utf8)) }
        var payload: [UInt8] = []
        withUnsafeBytes(of: number.littleEndian) { payload.append(contentsOf: $0) }
        try answer(.done, payload)
    }

    private func answer(_ code: FileAnswer, _ payload: [UInt8]) throws(SystemError) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 + payload.count)
        withUnsafeBytes(of: UInt32(code.rawValue).littleEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: UInt32(payload.count).littleEndian) { bytes.append(contentsOf: $0) }
        bytes += payload
        var done = 0
        while done < bytes.count {
            let start = done
            let n = bytes.withUnsafeBytes { send(socket.raw, $0.baseAddress! + start, $0.count - start, ByteOutput.noSignal) }
            if n < 0 && errno == EINTR { continue }
            guard n > 0 else { throw SystemError(call: "send", subject: "the file stream", errno: n < 0 ? errno : EPIPE) }
            done += n
        }
    }
}
