import Glibc
import Host

/// The answering side of one process's userfaultfd.
///
/// The kernel's answers are told apart by error number on the hottest path of a fill, so these calls return values.
struct FaultPort: ~Copyable, Sendable {
    let userfault: Userfaultfd
    /// Valid while the port lives.
    var raw: Int32 { userfault.descriptor }

    /// What the kernel said to a page put into the process.
    enum Answer: Equatable {
        /// All of it is in.
        case done
        /// The first pages are in, then something stopped it: go on behind them.
        case partly(pages: Int)
        /// The (first) page is there already (EEXIST).
        case present
        /// The layout is changing (EAGAIN): read the events, then look the address up anew.
        case again
        /// No area registered over all of it (ENOENT): unmapped, or two areas side by side.
        case absent
        /// The process is gone (ESRCH).
        case dead
        /// The container is out of memory (ENOMEM), the source page can't be read (EFAULT), ...
        case failed(Int32)

        init(_ filled: Userfaultfd.Filled) {
            switch (filled.errno, filled.byteCount) {
            case (0, _): self = .done
            case (_, 1...): self = .partly(pages: filled.byteCount / 4096)
            case (EEXIST, _): self = .present
            case (EAGAIN, _): self = .again
            case (ENOENT, _): self = .absent
            case (ESRCH, _): self = .dead
            default: self = .failed(filled.errno)
            }
        }
    }

    /// Takes a userfaultfd over. Reading it must never block the fault thread, and epoll reports an error for a blocking
    /// one, so it is made non-blocking whatever it was.
    init(_ descriptor: consuming OwnedDescriptor) {
        _ = fcntl(descriptor.raw, F_SETFL, fcntl(descriptor.raw, F_GETFL) | O_NONBLOCK)
        _ = fcntl(descriptor.raw, F_SETFD, FD_CLOEXEC)
        userfault = Userfaultfd(descriptor)
    }

    /// Whether a descriptor of unknown origin is a userfaultfd, by what /proc calls it.
    static func isUserfault(_ descriptor: borrowing OwnedDescriptor) -> Bool {
        var target = [CChar](repeating: 0, count: 64)
        let count = readlink("/proc/self/fd/\(descriptor.raw)", &target, target.count)
        guard count > 0 else { return false }
        return String(decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) == "anon_inode:[userfaultfd]"
    }

    func copy(to address: UInt64, from source: UnsafeRawPointer, length: Int) -> Answer {
        Answer(userfault.copy(UnsafeRawBufferPointer(start: source, count: length), to: address))
    }
    func zero(_ address: UInt64) -> Answer { Answer(userfault.zero(address..<(address + 4096))) }
    func wake(_ address: UInt64) { try? userfault.wake(address..<(address + 4096)) }  // a range that went needs no waking

    /// Wakes every thread that waits, whatever for: each faults again and asks anew. Needed after a take-over, when the
    /// one who had read a fault died before answering: nobody would ever answer it.
    func wakeAll() {
        // The kernel takes any range from vm.mmap_min_addr to the end of the address space, registered or not. 2^47 less
        // a page is the end on x86-64; above it only with five-level page tables, EINVAL otherwise.
        let end: UInt64 = (1 << 47) - 4096
        try? userfault.wake(Self.lowest..<end)
        try? userfault.wake(end..<((1 << 56) - 4096))
    }

    /// Whether the process still has its address space: asks for a page where none can be.
    var isAlive: Bool { zero(Self.lowest) != .dead }

    /// The lowest address that a process may map with the usual vm.mmap_min_addr (64 KB); no program places an area there.
    private static let lowest: UInt64 = 65536
}
