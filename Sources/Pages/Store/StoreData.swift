import CLinux
import Glibc
import Host
import Model

/// The data file of a page store: slots of 2 MB, as long as the index has slots, sparse.
///
/// Pages are landed by pwrite, not by memcpy into a mapping. Measured on kernel 6.18, 2 noisy cores, 256 KB pieces,
/// CPU s/GB of the landing thread: pwrite cold .47-1.0, memcpy cold .77-.9; into a file that was allocated ahead
/// pwrite .11-.50, memcpy .44-.51 (a page fault each 4 KB); allocating itself .30. And a full disk or tmpfs is an error
/// of pwrite, but a SIGBUS of memcpy. Reading goes through a read-only mapping, which UFFDIO_COPY takes as it is.
struct StoreData: ~Copyable, @unchecked Sendable {
    // SAFETY: `mapping` lives until deinit and is only read; only pages that were written before are read.
    private let mapping: UnsafeMutableRawPointer
    private let length: Int
    let descriptor: OwnedDescriptor

    init(kind: StoreKind, slots: Int) throws(SystemError) {
        let made: Int
        switch kind {
        case .memory: made = try systemCall("memfd_create", "martlet-pages", linux_memfd_create("martlet-pages", 1))
        case .tmpfs(let path), .spill(let path): made = try Self.openUnnamed(in: path)
        }
        let file = OwnedDescriptor(taking: Int32(made))
        try systemCall("ftruncate", "page store", Glibc.ftruncate(file.raw, slots * Chunk.bytes) == 0 ? 0 : -Int(errno))
        try self.init(file, slots: slots)
    }

    /// O_TMPFILE (Linux 3.11); file systems that don't have it (NFS, overlay before Linux 6.3) get a name for a moment.
    private static func openUnnamed(in folder: String) throws(SystemError) -> Int {
        let made = linux_open_unnamed(folder)
        guard made == -Int(EOPNOTSUPP) || made == -Int(EISDIR) else { return try systemCall("open(O_TMPFILE)", folder, made) }
        let name = "\(folder)/.pages-\(getpid())-\(MonotonicInstant.now.nanoseconds)"
        let file = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        let result = try systemCall("open", name, file < 0 ? -Int(errno) : Int(file))
        unlink(name)
        return result
    }

    /// Maps a data file that another process made.
    init(adopting descriptor: consuming OwnedDescriptor, slots: Int) throws(StoreError) {
        var status = stat()
        let length = fstat(descriptor.raw, &status) == 0 ? Int(status.st_size) : -1
        guard length == slots * Chunk.bytes else {
            throw .notAStore(found: "a data file of \(length) bytes", expected: "\(slots * Chunk.bytes) bytes")
        }
        do throws(SystemError) { try self.init(descriptor, slots: slots) } catch { throw .system(error) }
    }

    private init(_ descriptor: consuming OwnedDescriptor, slots: Int) throws(SystemError) {
        length = slots * Chunk.bytes
        mapping = try mapShared(descriptor.raw, length: length, writable: false, "page store")
        self.descriptor = descriptor
    }

    deinit { munmap(mapping, length) }

    /// Where a page of a slot can be read.
    @inline(__always)
    func page(_ slot: Int, _ page: Int) -> UnsafeRawPointer { UnsafeRawPointer(mapping + slot * Chunk.bytes + page * pageSize) }

    /// Writes pages. After an error none of them counts as written.
    func write(_ slot: Int, firstPage: Int, _ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            let offset = slot * Chunk.bytes + firstPage * pageSize + done
            let written = pwrite(descriptor.raw, bytes.baseAddress! + done, bytes.count - done, offset)
            if written > 0 {
                done += written
                continue
            }
            let code = written == 0 ? ENOSPC : errno
            if code != EINTR { throw SystemError(call: "pwrite", subject: "page store", errno: code) }
        }
    }

    /// Allocates a slot, so that landing there only copies.
    func allocate(_ slot: Int) throws(SystemError) {
        try systemCall("fallocate", "page store", linux_allocate(descriptor.raw, slot * Chunk.bytes, Chunk.bytes))
    }

    /// Gives a slot's memory back to the host.
    func punch(_ slot: Int) throws(SystemError) {
        let result = linux_punch_hole(descriptor.raw, slot * Chunk.bytes, Chunk.bytes)
        try systemCall("fallocate(PUNCH_HOLE)", "page store", result)
    }

    /// Maps pages that were written into this process at once, so that UFFDIO_COPY doesn't meet a fault a page.
    func populate(_ slot: Int, _ pages: Range<Int>) {
        let start = mapping + slot * Chunk.bytes + pages.lowerBound * pageSize
        _ = madvise(start, pages.count * pageSize, 22 /* MADV_POPULATE_READ, Linux 5.14; without it only slower */)
    }
}
