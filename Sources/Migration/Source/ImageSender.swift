import Glibc
import Host
import Synchronization
import Wire

/// Sends a folder of images over one data stream, beginning while they are still being written.
final class ImageSender: Sendable {
    private let folder: String
    private let stream: DataSender
    private let directory: SharedDescriptor
    /// Held while files are sent.
    private let state = Mutex(State())
    private let isOver = Atomic(false)
    /// Kept as long as this object: closing it waits 15 ms for the kernel (fsnotify's SRCU), too long for the freeze.
    private let watch: FolderWatchBox

    private struct State {
        var sent: [String: Sent] = [:]
        /// Bytes of the pack so far.
        var packed = 0
        var bytes = 0
        var blobs = ImageTransfer.pack
        var failure: (any Error)?
    }

    /// How a file was when it went: if it is different at the end, it goes again.
    private struct Sent {
        var size: Int
        var changed: Int64
        var blob: UInt32
    }

    init(folder: String, stream: DataSender) throws(SystemError) {
        (self.folder, self.stream) = (folder, stream)
        directory = SharedDescriptor(try OwnedDescriptor(opening: folder, flags: O_RDONLY | O_DIRECTORY))
        watch = FolderWatchBox(try FolderWatch(folder: folder))
    }

    /// Sends what is closed after writing from now on, on a thread of its own, until `send` or `stop`.
    func runAhead() throws(SystemError) {
        _ = try Host.Thread(named: "images") { [self] in
            while !isOver.load(ordering: .relaxed) {
                let isIdle = state.withLock { state in
                    let names = isOver.load(ordering: .relaxed) ? [] : watch.watch.take().filter(ImageTransfer.travels)
                    do {
                        for name in names { try sendFile(name, &state) }
                        if !names.isEmpty { try stream.flush() }
                    } catch {
                        state.failure = error
                        return true
                    }
                    return names.isEmpty
                }
                if isIdle { _ = try? Poll.wait(watch.watch.descriptor, for: .input, until: .now + .milliseconds(20)) }
            }
        }
    }

    /// Ends `runAhead`, at the latest with the next file. Repeating is harmless.
    func stop() { isOver.store(true, ordering: .relaxed) }

    /// Sends the rest: nothing in the folder changes any more.
    /// - Returns: number of files and bytes of all blobs.
    func send() throws -> (files: Int, bytes: Int) {
        stop()
        return try state.withLock { state in
            if let failure = state.failure { throw failure }
            let names = try FileIO.list(folder).filter(ImageTransfer.travels)
            for name in names { try sendFile(name, &state) }
            let sent = state.sent
            let entries = names.compactMap { name in
                sent[name].map { ImageTransfer.Entry(name: name, bytes: $0.size, blob: $0.blob) }
            }
            let manifest = JSON.encode(entries)
            try manifest.withUnsafeBytes { try sendBlob(ImageTransfer.manifest, $0, at: 0, &state) }
            try stream.flush()
            return (entries.count, state.bytes)
        }
    }

    /// Sends a file unless it went as it is.
    private func sendFile(_ name: String, _ state: inout State) throws {
        var status = stat()
        guard fstatat(directory.raw, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return }
        let changed = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
        let size = Int(status.st_size)
        if let before = state.sent[name], before.size == size, before.changed == changed { return }
        let raw = openat(directory.raw, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard raw >= 0 else { throw SystemError(call: "open", subject: "\(folder)/\(name)", errno: errno) }
        let file = OwnedDescriptor(taking: raw)
        let isSmall = size <= ImageTransfer.mostPacked
        if isSmall {
            try pack(name, file, size, &state)
        } else {
            state.blobs += 1
            try sendLarge(name, file, size, &state)
        }
        state.sent[name] = Sent(size: size, changed: changed, blob: isSmall ? ImageTransfer.pack : state.blobs)
    }

    private func pack(_ name: String, _ file: borrowing OwnedDescriptor, _ size: Int, _ state: inout State) throws {
        let head = ImageTransfer.recordHead + name.utf8.count
        try withUnsafeTemporaryAllocation(byteCount: head + size, alignment: 8) { record in
            record.storeBytes(of: UInt32(size).littleEndian, as: UInt32.self)
            record.storeBytes(of: UInt16(name.utf8.count).littleEndian, toByteOffset: 4, as: UInt16.self)
            record.storeBytes(of: 0, toByteOffset: 6, as: UInt16.self)
            record[ImageTransfer.recordHead..<head].copyBytes(from: name.utf8)
            try read(name, file, at: 0, into: UnsafeMutableRawBufferPointer(rebasing: record[head...]))
            try sendBlob(ImageTransfer.pack, UnsafeRawBufferPointer(record), at: state.packed, &state)
        }
        state.packed += head + size
    }

    private func sendLarge(_ name: String, _ file: borrowing OwnedDescriptor, _ size: Int, _ state: inout State) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: ImageTransfer.pieceBytes, alignment: 4096)
        defer { buffer.deallocate() }
        var offset = 0
        while offset < size {
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, size - offset)])
            try read(name, file, at: offset, into: piece)
            try sendBlob(state.blobs, UnsafeRawBufferPointer(piece), at: offset, &state)
            offset += piece.count
        }
    }

    private func read(
        _ name: String, _ file: borrowing OwnedDescriptor, at start: Int, into target: UnsafeMutableRawBufferPointer
    )
        throws
    {
        var done = 0
        while done < target.count {
            let n = pread(file.raw, target.baseAddress! + done, target.count - done, off_t(start + done))
            guard n > 0 else {
                throw SystemError(
                    call: "read", subject: "\(folder)/\(name)", errno: n < 0 ? errno : EIO, hint: "the image became shorter")
            }
            done += n
        }
    }

    private func sendBlob(_ id: UInt32, _ content: UnsafeRawBufferPointer, at offset: Int, _ state: inout State) throws {
        try stream.blob(id: id, offset: UInt64(offset), bytes: content)
        state.bytes += content.count
    }
}

private final class FolderWatchBox: Sendable {
    let watch: FolderWatch
    init(_ watch: consuming FolderWatch) { self.watch = watch }
}
