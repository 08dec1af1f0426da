import CLinux
import Glibc
import Host

/// The answering side of one process's userfaultfd; ioctl_userfaultfd(2), Linux 4.11 (events), 5.14 for CRIU's use.
///
/// The results are told apart by error number on the hottest path of a fill, so these calls return values, not errors.
struct FaultPort: ~Copyable, Sendable {
    let descriptor: OwnedDescriptor

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

        init(_ result: Int, done copied: Int64, length: Int) {
            switch (-result, copied) {
            case (0, _): self = .done
            case (_, 1...): self = .partly(pages: Int(copied) / 4096)
            case (Int(EEXIST), _): self = .present
            case (Int(EAGAIN), _): self = .again
            case (Int(ENOENT), _): self = .absent
            case (Int(ESRCH), _): self = .dead
            default: self = .failed(Int32(-result))
            }
        }
    }

    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

    /// Whether a descriptor of unknown origin is a userfaultfd, by what /proc calls it.
    static func isUserfault(_ descriptor: borrowing OwnedDescriptor) -> Bool {
        var target = [CChar](repeating: 0, count: 64)
        let count = readlink("/proc/self/fd/\(descriptor.raw)", &target, target.count)
        guard count > 0 else { return false }
        return String(decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) == "anon_inode:[userfaultfd]"
    }

    /// Reading must never block the fault thread, and epoll reports an error for a blocking userfaultfd.
    func setNonBlocking() {
        let flags = fcntl(descriptor.raw, F_GETFL)
        _ = fcntl(descriptor.raw, F_SETFL, flags | O_NONBLOCK)
    }

    func copy(to address: UInt64, from source: UnsafeRawPointer, length: Int) -> Answer {
        var request = uffdio_copy(dst: address, src: UInt64(UInt(bitPattern: source)), len: UInt64(length), mode: 0, copy: 0)
        let result = linux_ioctl(descriptor.raw, LINUX_UFFDIO_COPY, &request)
        return Answer(result, done: request.copy, length: length)
    }

    func zero(_ address: UInt64) -> Answer {
        var request = uffdio_zeropage(range: uffdio_range(start: address, len: 4096), mode: 0, zeropage: 0)
        let result = linux_ioctl(descriptor.raw, LINUX_UFFDIO_ZEROPAGE, &request)
        return Answer(result, done: request.zeropage, length: 4096)
    }

    func wake(_ address: UInt64, length: UInt64 = 4096) {
        var range = uffdio_range(start: address, len: length)
        _ = linux_ioctl(descriptor.raw, LINUX_UFFDIO_WAKE, &range)
    }

    /// Wakes every thread that waits, whatever for: each faults again and asks anew. Needed after a take-over, when the
    /// one who had read a fault died before answering: nobody would ever answer it.
    func wakeAll() {
        // The kernel takes any range from vm.mmap_min_addr to the end of the address space, registered or not.
        // 64 KB is above every mmap_min_addr; nothing lives below it. 2^47 less a page is TASK_SIZE on x86-64.
        let low: UInt64 = 65536, end: UInt64 = (1 << 47) - 4096
        wake(low, length: end - low)
        wake(end, length: (1 << 56) - 4096 - end) // five-level page tables; EINVAL without them
    }
}
