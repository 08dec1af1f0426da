import Glibc
import Host
import Model
import Synchronization
import Wire

/// A dump's folder on the wire: blob 0 is the manifest (JSON), blob N the Nth file of it. Pieces carry their offset, so the
/// receiver writes each where it belongs and holds nothing in memory: a plain dump's pages file is as large as the container.
enum ImageTransfer {
    struct Entry: Codable, Sendable {
        var name: String
        var bytes: Int
    }

    /// 1 MiB: large enough that a frame's cost doesn't show, half of what a frame may carry.
    static let pieceBytes = 1 << 20
    /// Far above what the largest process tree needs (some ten files a process).
    static let mostFiles = 1_000_000

    /// Files that travel: images, and what runc wants beside them. CRIU's statistics and logs stay behind.
    static func travels(_ name: String) -> Bool {
        (name.hasSuffix(".img") && !name.hasPrefix("stats-")) || name == "descriptors.json"
    }

    /// Only plain names: what a peer sends must not leave the folder.
    static func isSafe(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 200 && !name.contains("/") && name != "." && name != ".." && travels(name)
    }
}

/// Sends a folder of images over one data stream.
struct ImageSender {
    let folder: String
    let stream: DataSender

    /// - Returns: number of files and bytes of all blobs.
    func send() throws -> (files: Int, bytes: Int) {
        var entries: [ImageTransfer.Entry] = []
        for name in try FileIO.list(folder).filter(ImageTransfer.travels).sorted() {
            var status = stat()
            guard stat("\(folder)/\(name)", &status) == 0 else { continue }
            entries.append(ImageTransfer.Entry(name: name, bytes: Int(status.st_size)))
        }
        let manifest = JSON.encode(entries)
        var sent = manifest.count
        try manifest.withUnsafeBytes { bytes in
            for offset in stride(from: 0, to: bytes.count, by: ImageTransfer.pieceBytes) {
                let piece = UnsafeRawBufferPointer(rebasing: bytes[offset..<min(offset + ImageTransfer.pieceBytes, bytes.count)])
                try stream.blob(id: 0, offset: UInt64(offset), bytes: piece)
            }
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: ImageTransfer.pieceBytes, alignment: 4096)
        defer { buffer.deallocate() }
        for (index, entry) in entries.enumerated() {
            sent += try send(entry, id: UInt32(index + 1), buffer)
        }
        try stream.flush()
        return (entries.count, sent)
    }

    private func send(_ entry: ImageTransfer.Entry, id: UInt32, _ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let path = "\(folder)/\(entry.name)"
        let file = try OwnedDescriptor(opening: path, flags: O_RDONLY)
        var offset = 0
        while offset < entry.bytes {
            let n = pread(file.raw, buffer.baseAddress, min(buffer.count, entry.bytes - offset), off_t(offset))
            guard n > 0 else {
                throw SystemError(call: "read", subject: path, errno: n < 0 ? errno : EIO, hint: "the image became shorter")
            }
            try stream.blob(id: id, offset: UInt64(offset), bytes: UnsafeRawBufferPointer(rebasing: buffer[..<n]))
            offset += n
        }
        return offset
    }
}

/// Takes the blobs at the destination and makes the folder of them.
final class ImageReceiver: Sendable {
    private struct State {
        var files: [UInt32: SharedDescriptor] = [:]
        var received = 0
    }

    let folder: String
    private let state = Monitor(State())

    init(folder: String) { self.folder = folder }

    func take(id: UInt32, offset: UInt64, bytes: UnsafeRawBufferPointer) throws(SinkFailure) {
        guard id <= ImageTransfer.mostFiles else {
            throw SinkFailure("image number \(id): at most \(ImageTransfer.mostFiles) were due")
        }
        do {
            let file = try state.withLock { state throws(SystemError) in
                if let file = state.files[id] { return file }
                let file = SharedDescriptor(
                    try OwnedDescriptor(opening: path(id), flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o600))
                state.files[id] = file
                return file
            }
            var done = 0
            while done < bytes.count {
                let n = pwrite(file.raw, bytes.baseAddress! + done, bytes.count - done, off_t(offset) + off_t(done))
                guard n > 0 else { throw SystemError(call: "write", subject: path(id), errno: errno) }
                done += n
            }
        } catch {
            throw SinkFailure("keep an image: \(error)")
        }
        state.withLock { $0.received += bytes.count }
    }

    /// Waits until all bytes are in, then gives every file its name.
    func finish(files: Int, bytes: Int, within limit: Duration) throws(TransferProblem) {
        let complete = state.wait(until: .now + limit) { $0.received >= bytes ? true : nil } ?? false
        guard complete else {
            throw TransferProblem("\(state.withLock { $0.received }) of \(bytes) bytes of images came within \(limit)")
        }
        let entries: [ImageTransfer.Entry]
        do {
            entries = try JSON.decode([ImageTransfer.Entry].self, from: FileIO.read(path(0)))
        } catch {
            throw TransferProblem("the list of images: \(error)")
        }
        guard entries.count == files, Set(entries.map(\.name)).count == files,
            entries.allSatisfy({ ImageTransfer.isSafe($0.name) })
        else {
            throw TransferProblem("the list of images names \(entries.count) files, \(files) different plain names were due")
        }
        for (index, entry) in entries.enumerated() { try place(entry, id: UInt32(index + 1)) }
        unlink(path(0))
        state.withLock { $0.files = [:] }
    }

    private func place(_ entry: ImageTransfer.Entry, id: UInt32) throws(TransferProblem) {
        let target = "\(folder)/\(entry.name)"
        if entry.bytes == 0 && !FileIO.exists(path(id)) {
            let empty = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            guard empty >= 0 else { throw TransferProblem("make \(target): \(SystemError.message(errno))") }
            close(empty)
            return
        }
        var status = stat()
        guard stat(path(id), &status) == 0, Int(status.st_size) == entry.bytes else {
            throw TransferProblem("image \(entry.name): \(status.st_size) bytes came, \(entry.bytes) were due")
        }
        guard rename(path(id), target) == 0 else { throw TransferProblem("name \(target): \(SystemError.message(errno))") }
    }

    private func path(_ id: UInt32) -> String { "\(folder)/.blob-\(id)" }
}

/// What came is not what was due.
struct TransferProblem: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}
