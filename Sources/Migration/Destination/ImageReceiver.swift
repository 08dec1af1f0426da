import Glibc
import Host
import Wire

/// Takes the blobs of `ImageTransfer` at the destination and makes the folder of them.
final class ImageReceiver: Sendable {
    private struct State {
        /// Files of their own, and the manifest.
        var files: [UInt32: SharedDescriptor] = [:]
        /// The rest of a record of the pack that came in part.
        var partial: [UInt8] = []
        /// Bytes of the pack that came.
        var packed = 0
        var packedFiles: [String: Int] = [:]
        var received = 0
    }

    let folder: String
    private let directory: SharedDescriptor
    private let state = Monitor(State())

    init(folder: String) throws(SystemError) {
        self.folder = folder
        directory = SharedDescriptor(try OwnedDescriptor(opening: folder, flags: O_RDONLY | O_DIRECTORY))
    }

    func take(id: UInt32, offset: UInt64, bytes: UnsafeRawBufferPointer) throws(SinkFailure) {
        guard id <= ImageTransfer.mostFiles else {
            throw SinkFailure("image number \(id): at most \(ImageTransfer.mostFiles) were due")
        }
        do {
            if id == ImageTransfer.pack { try unpack(bytes, at: offset) } else { try place(id, offset, bytes) }
        } catch let problem as TransferProblem {
            throw SinkFailure("keep an image: \(problem.description)")
        } catch {
            throw SinkFailure("keep an image: \(error)")
        }
        state.withLock { $0.received += bytes.count }
    }

    private func place(_ id: UInt32, _ offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws {
        let file = try state.withLock { state throws(SystemError) in
            if let file = state.files[id] { return file }
            let file = SharedDescriptor(try OwnedDescriptor(opening: path(id), flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o600))
            state.files[id] = file
            return file
        }
        try Self.write(bytes, to: file.raw, at: Int(offset), "image \(id)")
    }

    private static func write(_ bytes: UnsafeRawBufferPointer, to file: Int32, at offset: Int, _ name: String) throws(SystemError)
    {
        var done = 0
        while done < bytes.count {
            let n = pwrite(file, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
            guard n > 0 else { throw SystemError(call: "write", subject: name, errno: n < 0 ? errno : EIO) }
            done += n
        }
    }

    // MARK: - The pack

    /// Writes the files of the pack as their records are whole. One stream brings them, in order.
    private func unpack(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws {
        try state.withLock { state in
            guard offset == UInt64(state.packed) else {
                throw TransferProblem("byte \(offset) of the pack came, \(state.packed) was due")
            }
            state.packed += bytes.count
            guard state.partial.isEmpty else {
                state.partial.append(contentsOf: bytes)
                let all = state.partial
                let taken = try all.withUnsafeBytes { try records($0, &state) }
                state.partial = Array(all[taken...])
                return
            }
            let taken = try records(bytes, &state)
            if taken < bytes.count { state.partial = Array(bytes[taken...]) }
        }
    }

    /// - Returns: bytes of whole records.
    private func records(_ bytes: UnsafeRawBufferPointer, _ state: inout State) throws -> Int {
        var at = 0
        while at + ImageTransfer.recordHead <= bytes.count {
            let size = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
            let length = Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 4, as: UInt16.self)))
            guard size <= ImageTransfer.mostPacked, length <= 200 else {
                throw TransferProblem("a file of \(size) bytes with a name of \(length) in the pack")
            }
            let start = at + ImageTransfer.recordHead + length
            guard start + size <= bytes.count else { break }
            let name = String(decoding: bytes[at + ImageTransfer.recordHead..<start], as: UTF8.self)
            guard ImageTransfer.isSafe(name), state.packedFiles.count < ImageTransfer.mostFiles else {
                throw TransferProblem("a file of the pack is called \(name.debugDescription)")
            }
            let raw = openat(directory.raw, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard raw >= 0 else { throw SystemError(call: "open", subject: "\(folder)/\(name)", errno: errno) }
            let file = OwnedDescriptor(taking: raw)
            try Self.write(UnsafeRawBufferPointer(rebasing: bytes[start..<start + size]), to: file.raw, at: 0, name)
            state.packedFiles[name] = size
            at = start + size
        }
        return at
    }

    // MARK: - The end

    /// Waits until all bytes are in, then gives every file its name.
    func finish(files: Int, bytes: Int, within limit: Duration) throws(TransferProblem) {
        let complete = state.wait(until: .now + limit) { $0.received >= bytes ? true : nil } ?? false
        guard complete else {
            throw TransferProblem("\(state.withLock { $0.received }) of \(bytes) bytes of images came within \(limit)")
        }
        let entries: [ImageTransfer.Entry]
        do {
            entries = try JSON.decode([ImageTransfer.Entry].self, from: FileIO.read(path(ImageTransfer.manifest)))
        } catch {
            throw TransferProblem("the list of images: \(error)")
        }
        guard entries.count == files, Set(entries.map(\.name)).count == files,
            entries.allSatisfy({ ImageTransfer.isSafe($0.name) && $0.blob != ImageTransfer.manifest })
        else {
            throw TransferProblem("the list of images names \(entries.count) files, \(files) different plain names were due")
        }
        let packed = state.withLock { $0.packedFiles }
        for entry in entries {
            if entry.blob != ImageTransfer.pack {
                try name(entry)
            } else if packed[entry.name] != entry.bytes {
                throw TransferProblem(
                    "image \(entry.name): \(packed[entry.name].map(String.init) ?? "no") bytes came, \(entry.bytes) were due")
            }
        }
        // A file that grew while it was being sent came twice, the first time as another blob.
        let blobs = state.withLock { state in
            defer { state.files = [:] }
            return state.files.keys
        }
        for id in blobs { unlink(path(id)) }
    }

    private func name(_ entry: ImageTransfer.Entry) throws(TransferProblem) {
        var status = stat()
        guard stat(path(entry.blob), &status) == 0, Int(status.st_size) == entry.bytes else {
            throw TransferProblem("image \(entry.name): \(status.st_size) bytes came, \(entry.bytes) were due")
        }
        let target = "\(folder)/\(entry.name)"
        guard rename(path(entry.blob), target) == 0 else {
            throw TransferProblem("name \(target): \(SystemError.message(errno))")
        }
    }

    private func path(_ id: UInt32) -> String { "\(folder)/.blob-\(id)" }
}
