import CLinux
import CXXHash
import Glibc
import Host

/// An entry that may differ at the destination.
struct FileChange: Sendable {
    var folder: Int
    var path: [UInt8]
    /// What the destination is known to hold there, by the source's numbers; nil: anything or nothing.
    var old: TreeSnapshot.Entry?
    /// False if only metadata can have changed.
    var content = true
}

/// The source's end of the native file stream: says what changed, in order, and hears at the end that it's done.
///
/// A file is changed in place, block by block, only where the content of that name at the destination is known: of what was sent under
/// this name the hashes are known here; of a large file that came by rsync, the destination is asked for them once. Everything else
/// is sent as something new, so that nothing depends on what stands there.
struct FileSender: ~Copyable {
    private var output: ByteOutput
    private var input: ByteInput
    private let roots: [SharedDescriptor]
    private let views: [SharedDescriptor]
    /// Hashes of what the destination holds of a file, by the source's file, and the name under which it was sent. Two names of one
    /// file may be two files at the destination for a while, if one of them came between a look and its sending.
    private var hashes: [FileIdentity: Known] = [:]
    private var passes: UInt64 = 0
    private var buffer = [UInt8](repeating: 0, count: chunk)
    private var isCancelled: @Sendable () -> Bool = { false }
    /// What stands at the destination for each of this pass's changes, in order, as far as it came; nil: nothing. The container
    /// goes on between the look and the sending, so that this may be another entry than the one that the look saw.
    private(set) var held: [TreeSnapshot.Entry?] = []
    /// Names of this pass that are no folders at the destination: what seems to be below one came since, and is left to the next pass.
    private var closed: [Set<[UInt8]>] = []
    /// Files of several names that were sent in this pass: the first name.
    private var linked: [FileIdentity: (folder: Int, path: [UInt8])] = [:]

    private struct Known {
        var folder: Int
        var path: [UInt8]
        var blocks: [UInt64]
    }

    /// Read and compared at once; also how long a pass goes on after it was cancelled. 1 MiB: 0.2 ms.
    private static let chunk = 1 << 20
    /// Below this a file is sent whole, without asking for hashes: a question costs a round trip, 1 MiB 8 ms at 1 Gbit/s.
    private static let askAbove: UInt64 = 1 << 20
    /// Below this hashes aren't kept.
    private static let keepAbove: UInt64 = 64 << 10

    /// - Parameters:
    ///   - socket: a stream to the destination's `FileReceiver` of the same folders; 60 s of silence on it are an error.
    init(folders: [String], socket: consuming OwnedDescriptor) throws(SystemError) {
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(socket.raw, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket.raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var roots: [SharedDescriptor] = [], views: [SharedDescriptor] = []
        for folder in folders {
            let view = try FolderView.cloneMount(folder)
            let root = Int32(try kernelResult("openat", folder, linux_openat(view.raw, ".", O_RDONLY | O_DIRECTORY, 0)))
            roots.append(SharedDescriptor(OwnedDescriptor(taking: root)))
            views.append(SharedDescriptor(view))
        }
        (self.roots, self.views) = (roots, views)
        input = ByteInput(socket.raw)
        output = ByteOutput(socket)
    }

    /// How far a pass came.
    struct Sent {
        /// All changes are done. Otherwise the last one of `held` is done in part, and those behind it aren't begun.
        var complete = true
        var bytes = 0
        /// Of the pass, for `FileReceiver.wait`.
        var number: UInt64 = 0
    }

    /// One pass: all of it is at the destination when this returns, or as much as `held` says if it was cancelled.
    /// - Parameter waits: false for the last pass, of which the destination itself knows when it is done (`FileReceiver.wait`).
    mutating func pass(
        removed: [(folder: Int, path: [UInt8])], changes: [FileChange], waits: Bool = true,
        cancelled: @escaping @Sendable () -> Bool = { false }
    ) throws(FileSyncError) -> Sent {
        var sent = Sent()
        (passes, linked, isCancelled) = (passes + 1, [:], cancelled)
        (held, closed) = ([], Array(repeating: [], count: roots.count))
        held.reserveCapacity(changes.count)
        do throws(SystemError) {
            let before = output.sent
            for (folder, path) in removed { try remove(folder, path) }
            for change in changes {
                sent.complete = cancelled() ? false : try send(change)
                if !sent.complete { break }
            }
            begin(.end, 0, [])
            output.put(passes)
            try output.flush()
            sent.bytes = output.sent - before
        } catch { throw .system(error) }
        sent.number = passes
        if waits { try awaitEnd() }
        return sent
    }

    private mutating func awaitEnd() throws(FileSyncError) {
        do throws(SystemError) {
            let (answer, payload) = try answer()
            if answer == .done, payload.count == 8 { return }
            throw SystemError(call: "file stream", subject: "the destination", errno: EIO, hint: payload.shownPath)
        } catch { throw .system(error) }
    }

    private mutating func answer() throws(SystemError) -> (FileAnswer?, [UInt8]) {
        let head = try input.take(UInt32.self), length = Int(try input.take(UInt32.self))
        guard length <= FileAnswer.longest else {
            throw SystemError(
                call: "file stream", subject: "the destination", errno: EPROTO, hint: "an answer of \(length) bytes")
        }
        return (FileAnswer(rawValue: UInt8(truncatingIfNeeded: head)), try input.take(length))
    }

    private mutating func begin(_ code: FileOperation, _ folder: Int, _ path: [UInt8], _ flags: FileOperation.Flags = []) {
        output.put(code.rawValue)
        output.put(flags.rawValue)
        output.put(UInt16(folder))
        output.put(UInt32(path.count))
        output.put(path)
    }

    private mutating func remove(_ folder: Int, _ path: [UInt8]) throws(SystemError) {
        begin(.remove, folder, path)
        try output.flushIfFull()
    }

    /// - Returns: false if it was cancelled half-way.
    private mutating func send(_ change: FileChange) throws(SystemError) -> Bool {
        if change.path.isBelow(closed[change.folder]) {
            held.append(nil)
            return true
        }
        guard let entry = try HeldEntry.find(change.path, below: roots[change.folder].raw) else {
            held.append(nil)
            closed[change.folder].insert(change.path)
            if !change.path.isEmpty { try remove(change.folder, change.path) }
            return true
        }
        held.append(TreeSnapshot.Entry(entry.details))
        if entry.kind != LINUX_S_IFDIR { closed[change.folder].insert(change.path) }
        if entry.kind != LINUX_S_IFDIR, entry.details.links > 1 {
            if let first = linked[entry.identity], first.folder == change.folder {
                begin(.link, change.folder, change.path)
                output.put(UInt32(first.path.count))
                output.put(first.path)
                try output.flushIfFull()
                return true
            }
            linked[entry.identity] = (change.folder, change.path)
        }
        guard entry.kind == LINUX_S_IFREG else {
            let wasFolder = change.old.map { UInt32($0.mode) & LINUX_S_IFMT == LINUX_S_IFDIR } ?? false
            begin(.entry, change.folder, change.path, entry.kind == LINUX_S_IFDIR && wasFolder ? [] : .fresh)
            put(try entry.metadata())
            try output.flushIfFull()
            return true
        }
        return try sendFile(change, entry)
    }

    private mutating func put(_ metadata: FileMetadata) {
        for number in [metadata.mode, metadata.user, metadata.group, metadata.major, metadata.minor] { output.put(number) }
        output.put(metadata.size)
        output.put(metadata.modified)
        output.put(UInt32(metadata.target.count))
        output.put(UInt32(metadata.attributes.reduce(0) { $0 + 6 + $1.name.count + $1.value.count }))
        output.put(metadata.target)
        for attribute in metadata.attributes {
            output.put(UInt16(attribute.name.count))
            output.put(UInt32(attribute.value.count))
            output.put(attribute.name)
            output.put(attribute.value)
        }
    }

    private mutating func sendFile(_ change: FileChange, _ entry: borrowing HeldEntry) throws(SystemError) -> Bool {
        let metadata = try entry.metadata(), size = entry.details.size
        let isSame =
            change.old.map { $0.inode == entry.details.inode && UInt32($0.mode) & LINUX_S_IFMT == LINUX_S_IFREG } ?? false
        if isSame, !change.content, change.old?.size == size {
            begin(.entry, change.folder, change.path)
            put(metadata)
            begin(.done, change.folder, [])
            try output.flushIfFull()
            return true
        }
        let file = try entry.openForReading()
        var known: [UInt64]?
        if isSame, let last = hashes[entry.identity], last.folder == change.folder, last.path == change.path {
            known = last.blocks
        }
        if isSame, known == nil, size > Self.askAbove { known = try ask(change) }
        begin(.entry, change.folder, change.path, known == nil ? [.fresh, .content] : .content)
        put(metadata)
        let whole = try sendContent(file.raw, size, known, entry.identity, change)
        begin(.done, change.folder, [])
        try output.flushIfFull()
        return whole
    }

    /// Hashes of the blocks that the destination holds; nil if the file there can't be changed in place.
    private mutating func ask(_ change: FileChange) throws(SystemError) -> [UInt64]? {
        begin(.hash, change.folder, change.path)
        try output.flush()
        let (answer, payload) = try answer()
        // `failed`: the pass is lost, and its end says so.
        guard answer == .hashes, payload.count % 8 == 0 else {
            throw SystemError(call: "file stream", subject: change.path.shownPath, errno: EIO, hint: payload.shownPath)
        }
        if payload.isEmpty { return nil }
        return payload.withUnsafeBytes { bytes in
            (0..<payload.count / 8).map { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)) }
        }
    }

    /// Sends blocks that differ from the known ones; without known ones all but holes and zeros.
    /// - Returns: false if it was cancelled; what was sent is noted in any case.
    private mutating func sendContent(
        _ file: Int32, _ size: UInt64, _ known: [UInt64]?, _ identity: FileIdentity, _ change: FileChange
    ) throws(SystemError) -> Bool {
        let keeps = size >= Self.keepAbove
        // Without known hashes the file at the destination begins as one hole.
        var now = known ?? (keeps ? Self.zeros(size) : [])
        if known != nil { now.resize(to: FileBlock.count(size)) }
        hashes[identity] = nil  // one owner, so that the list isn't copied
        defer { if keeps || known != nil { hashes[identity] = Known(folder: change.folder, path: change.path, blocks: now) } }
        let segments = FileSegments(file: file, size: size)
        var at: UInt64 = 0
        while at < size {
            let data = try segments.next(from: at)
            let holeEnd = data?.lowerBound ?? size
            if known != nil { clear(at..<holeEnd, size, &now) }
            at = holeEnd
            while let data, at < data.upperBound {
                if isCancelled() { return false }
                let read = try readChunk(file, at, min(data.upperBound - at, UInt64(Self.chunk)))
                if read == 0 { return true }  // cut off meanwhile: the next pass will tell
                if known != nil { putDifferent(at, read, &now) } else { putNonZero(at, read, &now) }
                try output.flushIfFull()
                at += UInt64(read)
            }
        }
        return true
    }

    private mutating func readChunk(_ file: Int32, _ offset: UInt64, _ count: UInt64) throws(SystemError) -> Int {
        var done = 0
        while done < Int(count) {
            let start = done
            let n = buffer.withUnsafeMutableBytes {
                pread(file, $0.baseAddress! + start, Int(count) - start, off_t(offset) + off_t(start))
            }
            if n < 0 && errno == EINTR { continue }
            try kernelResult("pread", "a file of the container", n < 0 ? -Int(errno) : n)
            if n == 0 { break }
            done += n
        }
        return done
    }

    /// Runs of blocks with other content than the destination's.
    private mutating func putDifferent(_ offset: UInt64, _ count: Int, _ now: inout [UInt64]) {
        var at = 0, from: Int? = nil
        while at < count {
            let length = min(FileBlock.size, count - at), block = Int((offset + UInt64(at)) / UInt64(FileBlock.size))
            let hash = buffer.withUnsafeBytes { FileBlock.hash($0.baseAddress! + at, length) }
            if now[block] == hash {
                if let start = from { putData(offset + UInt64(start), start..<at) }
                from = nil
            } else {
                now[block] = hash
                from = from ?? at
            }
            at += length
        }
        if let start = from { putData(offset + UInt64(start), start..<count) }
    }

    /// Runs of pages that aren't zero, into a file that is a hole.
    private mutating func putNonZero(_ offset: UInt64, _ count: Int, _ now: inout [UInt64]) {
        var at = 0, from: Int? = nil
        while at < count {
            let length = min(4096, count - at)
            let isZero = buffer.withUnsafeBytes { FileBlock.isZero($0.baseAddress! + at, length) }
            if isZero {
                if let start = from { putData(offset + UInt64(start), start..<at) }
                from = nil
            } else {
                from = from ?? at
            }
            at += length
        }
        if let start = from { putData(offset + UInt64(start), start..<count) }
        guard !now.isEmpty else { return }
        for start in stride(from: 0, to: count, by: FileBlock.size) {
            let block = Int((offset + UInt64(start)) / UInt64(FileBlock.size))
            now[block] = buffer.withUnsafeBytes { FileBlock.hash($0.baseAddress! + start, min(FileBlock.size, count - start)) }
        }
    }

    private mutating func putData(_ offset: UInt64, _ range: Range<Int>) {
        begin(.data, 0, [])
        output.put(offset)
        output.put(UInt32(range.count))
        buffer.withUnsafeBytes { output.put(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// A hole where the destination has content.
    private mutating func clear(_ range: Range<UInt64>, _ size: UInt64, _ now: inout [UInt64]) {
        var from: UInt64? = nil, at = range.lowerBound
        while at < range.upperBound {
            let length = min(UInt64(FileBlock.size), size - at), block = Int(at / UInt64(FileBlock.size))
            let hash = FileBlock.zeroHash(Int(length))
            if now[block] != hash {
                now[block] = hash
                from = from ?? at
            } else if let start = from {
                putHole(start..<at)
                from = nil
            }
            at += length
        }
        if let start = from { putHole(start..<range.upperBound) }
    }

    private mutating func putHole(_ range: Range<UInt64>) {
        begin(.hole, 0, [])
        output.put(range.lowerBound)
        output.put(range.upperBound - range.lowerBound)
    }

    private static func zeros(_ size: UInt64) -> [UInt64] {
        let count = FileBlock.count(size)
        var all = [UInt64](repeating: FileBlock.zeroHash(FileBlock.size), count: count)
        let rest = Int(size % UInt64(FileBlock.size))
        if rest > 0 { all[count - 1] = FileBlock.zeroHash(rest) }
        return all
    }
}

extension FileBlock {
    static func hash(_ bytes: UnsafeRawPointer, _ count: Int) -> UInt64 { max(cxxhash_bytes64(bytes, count), 1) }

    static func isZero(_ bytes: UnsafeRawPointer, _ count: Int) -> Bool {
        if count == 4096 { return cxxhash_is_zero_page(bytes) != 0 }
        return UnsafeRawBufferPointer(start: bytes, count: count).allSatisfy { $0 == 0 }
    }

    private static let zeroBlock: UInt64 = zeroHash(of: size)
    private static func zeroHash(of count: Int) -> UInt64 {
        [UInt8](repeating: 0, count: count).withUnsafeBytes { hash($0.baseAddress!, count) }
    }
    static func zeroHash(_ count: Int) -> UInt64 { count == size ? zeroBlock : zeroHash(of: count) }
}

extension [UInt64] {
    /// More blocks are unknown ones.
    mutating func resize(to count: Int) {
        if self.count > count { removeLast(self.count - count) }
        if self.count < count { append(contentsOf: repeatElement(FileBlock.unknown, count: count - self.count)) }
    }
}

extension TreeSnapshot.Entry {
    /// A file that stands in no snapshot yet.
    init(_ details: linux_file_details) {
        self.init(
            inode: details.inode, size: details.size, ctime: details.ctime, mtime: details.mtime, nameOffset: 0, folder: -1,
            child: -1,
            links: details.links, mode: UInt16(truncatingIfNeeded: details.mode), nameLength: 0)
    }
}
