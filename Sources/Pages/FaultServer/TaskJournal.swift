import CLinux
import Glibc
import Host
import Model
import Synchronization

/// What happened to the restored processes, in shared memory: the keeper's source for taking over.
///
/// A log of 32-byte records in a memfd: tasks as they arrive, and every event of their userfaultfds except plain page
/// faults. **The kernel writes the events itself**: the fault thread reads its userfaultfds straight into the end of the
/// log. A REMOVE that was read (and so let the process go on) is in the log even if the reader is killed before its
/// next instruction. Only the descriptor of a FORK can be lost that way (`LostChild`).
///
///     record 0 of a batch   kind 1, task number: what follows was read from this task
///     1...16                struct uffd_msg as the kernel wrote it
///     or                    kind 2: a task: number, pid, space     kind 3: a task that is gone
///
/// One thread writes. Batches of page faults only are written over by the next one.
final class TaskJournal: @unchecked Sendable {
    // SAFETY: the header's words are atomic; records are written by the one fault thread and read at a take-over only.
    private let base: UnsafeMutableRawPointer
    private let length: Int
    let descriptor: OwnedDescriptor
    private var allocated: Int

    static let recordBytes = 32
    /// Events taken by one read: as the prototype; a read of one costs the same system call.
    static let batch = 16
    /// 8 million records, 256 MB of address space; memory is taken as the log grows. A workload that gives back a page
    /// every 10 µs takes 80 s to fill it.
    private static let defaultCapacity = 8 << 20
    private static let magic: UInt64 = 0x4A54_454C_5452_414D  // "MARTLETJ"
    private static let step = 1 << 20

    enum Word: Int { case magic, version, tail, fillStarted, finished, released, overflowed }
    enum Kind: UInt8 { case batch = 1, task = 2, dead = 3 }

    init(capacity: Int = TaskJournal.defaultCapacity) throws(SystemError) {
        let made = try systemCall("memfd_create", "martlet-tasks", linux_memfd_create("martlet-tasks", 1))
        descriptor = OwnedDescriptor(taking: Int32(made))
        length = 4096 + capacity * Self.recordBytes
        allocated = 0
        try systemCall("ftruncate", "task journal", Glibc.ftruncate(descriptor.raw, length) == 0 ? 0 : -Int(errno))
        try systemCall("fallocate", "task journal", linux_allocate(descriptor.raw, 0, min(Self.step, length)))
        base = try mapShared(descriptor.raw, length: length, writable: true, "task journal")
        allocated = min(Self.step, length)
        word(.version).store(1)
        word(.magic).store(Self.magic)
    }

    init(adopting descriptor: consuming OwnedDescriptor) throws(StoreError) {
        var status = stat()
        let size = fstat(descriptor.raw, &status) == 0 ? Int(status.st_size) : 0
        guard size >= 4096 + Self.recordBytes else { throw .notAStore(found: "\(size) bytes", expected: "a task journal") }
        length = size
        allocated = 4096
        do throws(SystemError) {
            base = try mapShared(descriptor.raw, length: size, writable: true, "task journal")
        } catch { throw .system(error) }
        self.descriptor = descriptor
        guard word(.magic).load() == Self.magic, word(.version).load() == 1 else {
            throw .notAStore(found: "magic 0x\(String(word(.magic).load(), radix: 16))", expected: "a task journal of version 1")
        }
    }

    deinit { munmap(base, length) }

    func word(_ word: Word) -> SharedWord { SharedWord(base + word.rawValue * 8) }
    private var capacity: Int { (length - 4096) / Self.recordBytes }
    private func record(_ number: Int) -> UnsafeMutableRawPointer { base + 4096 + number * Self.recordBytes }
    private var tail: Int { min(Int(clamping: word(.tail).load()), capacity) }

    // MARK: writing

    /// Room for `count` records at the end, allocated before it is touched; false if the log is full.
    private func reserve(_ count: Int) -> Bool {
        guard word(.overflowed).load() == 0 else { return false }
        let end = 4096 + (tail + count) * Self.recordBytes
        if end > allocated, end <= length {
            let upTo = min((end / Self.step + 1) * Self.step, length)
            if linux_allocate(descriptor.raw, allocated, upTo - allocated) == 0 { allocated = upTo }
        }
        if end <= allocated { return true }
        word(.overflowed).store(1)  // from here on a keeper knows too little to take over
        return false
    }

    /// Notes a task. Its number is the count of tasks and forks before it.
    func addTask(_ number: UInt32, pid: Int32, space: SpaceID?) {
        append(.task, number, UInt32(bitPattern: pid), space?.rawValue ?? 0)
    }
    func markDead(_ number: UInt32) { append(.dead, number, 0, 0) }

    private func append(_ kind: Kind, _ a: UInt32, _ b: UInt32, _ c: UInt32) {
        guard reserve(1) else { return }
        let at = record(tail)
        fill(at, kind, a, b, c)
        word(.tail).store(UInt64(tail + 1))
    }

    private func fill(_ at: UnsafeMutableRawPointer, _ kind: Kind, _ a: UInt32, _ b: UInt32, _ c: UInt32) {
        at.storeBytes(of: 0, as: UInt64.self)  // no valid record while its fields change
        (at + 8).storeBytes(of: a, as: UInt32.self)
        (at + 12).storeBytes(of: b, as: UInt32.self)
        (at + 16).storeBytes(of: c, as: UInt32.self)
        (at + 24).storeBytes(of: 0, as: UInt64.self)
        atomicMemoryFence(ordering: .releasing)
        at.storeBytes(of: UInt64(kind.rawValue), as: UInt64.self)
    }

    /// Reads events of a task's userfaultfd into the end of the log and gives each to `body`.
    /// - Parameter spare: `batch` records of memory, used once the log is full.
    /// - Returns: how many came.
    func read(task: UInt32, _ port: borrowing FaultPort, spare: UnsafeMutableRawPointer, _ body: (linux_uffd_event) -> Void)
        -> Int
    {
        let logged = reserve(Self.batch + 1)
        let start = logged ? record(tail) : spare
        let messages = logged ? record(tail + 1) : spare
        if logged {
            fill(start, .batch, task, 0, 0)
            // The kernel lets the process go on first and writes the event then (userfaultfd_ctx_read). A page that is not mapped yet
            // makes that write fail in a process that was just killed (fault_signal_pending), and the event would be nowhere.
            record(tail + Self.batch).storeBytes(of: 0, as: UInt64.self)
        }
        let bytes = Glibc.read(port.raw, messages, Self.batch * Self.recordBytes)
        let count = bytes > 0 ? bytes / Self.recordBytes : 0
        var keep = false
        for index in 0..<count where isLayoutEvent(messages + index * Self.recordBytes) { keep = true }
        if keep, logged { word(.tail).store(UInt64(tail + 1 + count)) }
        for index in 0..<count { body(linux_uffd_decode(messages + index * Self.recordBytes)) }
        return count
    }

    /// FORK, REMAP, REMOVE or UNMAP (0x13 to 0x16 in linux/userfaultfd.h).
    private func isLayoutEvent(_ at: UnsafeMutableRawPointer) -> Bool {
        (0x13...0x16).contains(at.load(as: UInt8.self))
    }

    // MARK: reading it back

    /// One step of the story.
    enum Entry {
        case task(number: UInt32, pid: Int32, space: SpaceID?)
        case event(task: UInt32, linux_uffd_event)
        case dead(task: UInt32)
    }

    /// Tells the whole story, with the batch that the dead writer didn't finish, and makes this process the writer.
    func replay(_ body: (Entry) -> Void) {
        allocated = 4096 + tail * Self.recordBytes  // the rest may be allocated as well: fallocate doesn't mind
        var at = 0
        while at < tail { at = step(at, upTo: tail, body) }
        let unfinished = tail
        guard unfinished + 1 < capacity, word(.overflowed).load() == 0, reserve(Self.batch + 1) else { return }
        guard record(unfinished).load(as: UInt8.self) == Kind.batch.rawValue else { return }
        var end = unfinished
        for index in (unfinished + 1)..<min(unfinished + 1 + Self.batch, capacity) {
            let at = record(index)
            guard (0x12...0x16).contains(at.load(as: UInt8.self)) else { break }
            if isLayoutEvent(at) { end = index + 1 }
        }
        guard end > unfinished else { return }
        word(.tail).store(UInt64(end))
        at = unfinished
        while at < end { at = step(at, upTo: end, body) }
    }

    private func step(_ at: Int, upTo end: Int, _ body: (Entry) -> Void) -> Int {
        let here = record(at)
        let number = (here + 8).load(as: UInt32.self)
        switch Kind(rawValue: here.load(as: UInt8.self)) {
        case .task:
            let space = (here + 16).load(as: UInt32.self)
            let pid = Int32(bitPattern: (here + 12).load(as: UInt32.self))
            body(.task(number: number, pid: pid, space: space == 0 ? nil : SpaceID(space)))
        case .dead: body(.dead(task: number))
        case .batch:
            var next = at + 1
            while next < end, next <= at + Self.batch, (0x12...0x16).contains(record(next).load(as: UInt8.self)) {
                if isLayoutEvent(record(next)) { body(.event(task: number, linux_uffd_decode(record(next)))) }
                next += 1
            }
            return next
        case nil: break
        }
        return at + 1
    }
}
