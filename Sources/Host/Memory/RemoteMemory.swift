import CLinux
import Glibc
public import Model
import Synchronization

/// Reads another process's memory, in runs of pages.
///
/// process_vm_readv(2) (Linux 3.2, ptrace rights) moves 5 to 8.5 GB/s; where it fails (PROT_NONE, write-only pages)
/// /proc/PID/mem reads the same page. The latter is bound to the address space as of `init`, the former to the thread:
/// an exec between scan and read gives bytes of the new program. The next round tells that the space is gone.
public final class RemoteMemory: Sendable {
    /// The kernel's UIO_MAXIOV.
    private static let maximumVectors = 1024

    /// Any thread that has this memory (the leader, unless it has ended before its threads).
    public let thread: Int32
    private let memory: OwnedDescriptor
    private let sparing = Atomic<Bool>(false)

    /// Whether pages that are shared by copy-on-write stay so: process_vm_readv pins what it reads, and the kernel gives the
    /// process a copy of a page before it pins it (mm/gup.c, gup_must_unshare, Linux 5.19). /proc/PID/mem doesn't pin.
    public var sparesSharing: Bool {
        get { sparing.load(ordering: .relaxed) }
        set { sparing.store(newValue, ordering: .relaxed) }
    }

    public init(thread: Int32) throws(SystemError) {
        self.thread = thread
        memory = try OwnedDescriptor(opening: "/proc/\(thread)/mem", flags: O_RDONLY)
    }

    /// Reads runs, packed one behind the other.
    /// - Parameters:
    ///   - runs: in any order; together not longer than the buffer.
    ///   - buffer: gets the bytes; zeros where a page has vanished.
    ///   - vanished: gets the pages that can't be read any more: unmapped, or lost with the process. A later round or
    ///     the final list of pages tells what became of them.
    /// - Returns: number of pages read.
    /// - Throws: ESRCH if the process is gone. The buffer is undefined then.
    @discardableResult
    public func read(_ runs: Span<PageRun>, into buffer: UnsafeMutableRawBufferPointer, vanished: inout [PageRun])
        throws(SystemError) -> Int
    {
        var done = 0  // bytes
        var cursor = Cursor()
        var missing = 0
        while cursor.run < runs.count {
            let asked = cursor
            let got = try readVectors(runs, from: &cursor, into: buffer, at: done)
            done += got
            if got == cursor.bytes(from: asked) { continue }
            // The page behind those that were read failed: fetch it alone and go on behind it.
            cursor = asked.advanced(by: got, in: runs)
            let address = runs[cursor.run].start + UInt64(cursor.offset)
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<(done + pageSize)])
            if try !readPage(address, into: target) {
                RemoteMemory.append(address, to: &vanished)
                missing += 1
            }
            done += pageSize
            cursor = cursor.advanced(by: pageSize, in: runs)
        }
        return done / pageSize - missing
    }

    /// The same for an array.
    @discardableResult
    public func read(_ runs: [PageRun], into buffer: UnsafeMutableRawBufferPointer, vanished: inout [PageRun]) throws(SystemError)
        -> Int
    {
        try read(runs.span, into: buffer, vanished: &vanished)
    }

    /// Reads one page through /proc/PID/mem, which ignores the area's protection.
    /// - Returns: false if there is none.
    private func readPage(_ address: UInt64, into target: UnsafeMutableRawBufferPointer) throws(SystemError) -> Bool {
        let n = retrying { pread(memory.raw, target.baseAddress, pageSize, off_t(bitPattern: UInt(address))) }
        if n == pageSize { return true }
        memset(target.baseAddress!, 0, pageSize)
        return false
    }

    /// Where we are in the list of runs.
    private struct Cursor {
        var run = 0
        /// Bytes of the run that are behind us.
        var offset = 0
        /// Bytes since the beginning.
        var total = 0

        func bytes(from start: Cursor) -> Int { total - start.total }

        func advanced(by bytes: Int, in runs: Span<PageRun>) -> Cursor {
            var c = self, left = bytes
            c.total += bytes
            while c.run < runs.count, left > 0 {
                let rest = runs[c.run].byteCount - c.offset
                if left < rest {
                    c.offset += left
                    return c
                }
                left -= rest
                c.run += 1
                c.offset = 0
            }
            return c
        }
    }

    /// One call with up to 1024 runs; the cursor moves over what was asked, the result tells what came.
    private func readVectors(
        _ runs: Span<PageRun>, from cursor: inout Cursor, into buffer: UnsafeMutableRawBufferPointer, at done: Int
    ) throws(SystemError) -> Int {
        let first = cursor
        return try withUnsafeTemporaryAllocation(of: linux_iovec.self, capacity: RemoteMemory.maximumVectors) {
            vectors throws(SystemError) in
            var n = 0, bytes = 0
            while n < RemoteMemory.maximumVectors, cursor.run < runs.count {
                let run = runs[cursor.run]
                let length = run.byteCount - cursor.offset
                precondition(done + bytes + length <= buffer.count, "runs longer than the buffer")
                vectors[n] = linux_iovec(
                    base: UnsafeMutableRawPointer(bitPattern: UInt(run.start) + UInt(cursor.offset)), length: length)
                n += 1
                bytes += length
                cursor = Cursor(run: cursor.run + 1, offset: 0, total: cursor.total + length)
            }
            if sparesSharing {
                return try readThroughFile(UnsafeBufferPointer(rebasing: vectors[0..<n]), into: buffer.baseAddress! + done)
            }
            var local = linux_iovec(base: buffer.baseAddress! + done, length: bytes)
            let got = linux_process_vm_readv(thread, &local, 1, vectors.baseAddress, UInt(n))
            if got == -Int(EFAULT) || got == -Int(EINTR) { return 0 }  // the first page failed
            if got == -Int(ENOMEM) { return 0 }  // no memory for the kernel's list: page by page
            // The thread has ended; others may have the memory still.
            if got == -Int(ESRCH) {
                return try readThroughFile(UnsafeBufferPointer(rebasing: vectors[0..<n]), into: local.base)
            }
            try check("process_vm_readv", "thread \(thread), \(n) runs from 0x\(String(runs[first.run].start, radix: 16))", got)
            return got / pageSize * pageSize
        }
    }

    /// Reads through /proc/PID/mem, which holds the address space and not a thread.
    /// - Returns: bytes up to the first page that failed.
    private func readThroughFile(_ vectors: UnsafeBufferPointer<linux_iovec>, into target: UnsafeMutableRawPointer)
        throws(SystemError)
        -> Int
    {
        var done = 0
        for vector in vectors {
            let address = off_t(bitPattern: UInt(bitPattern: vector.base))
            let n = retrying { pread(memory.raw, target + done, vector.length, address) }
            if n == 0 { throw SystemError(call: "read", subject: "/proc/\(thread)/mem", errno: ESRCH) }  // no user is left
            done += max(n, 0) / pageSize * pageSize
            if n != vector.length { return done }
        }
        return done
    }

    private static func append(_ address: UInt64, to runs: inout [PageRun]) {
        if let last = runs.last, last.end == address {
            runs[runs.count - 1].count += 1
        } else {
            runs.append(PageRun(start: address, count: 1))
        }
    }

    /// Bytes of any range (not only pages): code, strings. Reads less than asked where memory ends.
    public func bytes(at address: UInt64, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let n = retrying { pread(memory.raw, &bytes, count, off_t(bitPattern: UInt(address))) }
        bytes.removeLast(count - max(n, 0))
        return bytes
    }
}
