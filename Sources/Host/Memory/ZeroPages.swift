import Glibc
import Model

/// Frames of the kernel's pages of zeros, small and huge, by which page map entries of them are known where there is no
/// PAGEMAP_SCAN. A page that is dropped (MADV_DONTNEED) and then read is the page of zeros: present, but not soft-dirty.
///
/// Frame numbers are shown to CAP_SYS_ADMIN only (Linux 4.0).
public struct ZeroPages: Sendable {
    let small: UInt64
    /// First of 512 frames; nil if huge pages aren't in use.
    let huge: UInt64?

    /// Found once, with memory of our own. The kernel keeps the huge one in place for as long as a process that had it lives.
    /// nil if frame numbers are hidden from us.
    public static let known: ZeroPages? = find()

    @inline(__always)
    func contains(_ frame: UInt64) -> Bool {
        if frame == small { return true }
        guard let huge else { return false }
        return frame &- huge < 512
    }

    private static let frameMask: UInt64 = (1 << 55) - 1
    /// Frame of a page map entry.
    static func frame(_ entry: UInt64) -> UInt64 { entry & frameMask }

    private static func find() -> ZeroPages? {
        let hugeSize = 2 << 20, size = 2 * hugeSize
        guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), base != MAP_FAILED else { return nil }
        defer { munmap(base, size) }
        let aligned = UnsafeMutableRawPointer(bitPattern: (UInt(bitPattern: base) + UInt(hugeSize) - 1) & ~UInt(hugeSize - 1))!
        madvise(aligned, hugeSize, 14 /* MADV_HUGEPAGE */)
        guard let single = mmap(nil, pageSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), single != MAP_FAILED else {
            return nil
        }
        defer { munmap(single, pageSize) }
        madvise(single, pageSize, 15 /* MADV_NOHUGEPAGE */)
        // Reading makes the kernel map its zeros; an unused load would be optimized away.
        guard single.load(as: UInt8.self) == 0, aligned.load(as: UInt8.self) == 0 else { return nil }
        guard let small = entry(single), small >> 63 == 1, frame(small) != 0 else { return nil }
        let first = entry(aligned).map(frame), second = entry(aligned + pageSize).map(frame)
        guard let first, let second, first != frame(small), second == first + 1 else {
            return ZeroPages(small: frame(small), huge: nil)
        }
        return ZeroPages(small: frame(small), huge: first)
    }

    private static func entry(_ address: UnsafeMutableRawPointer) -> UInt64? {
        guard let map = try? OwnedDescriptor(opening: "/proc/self/pagemap", flags: O_RDONLY) else { return nil }
        var value: UInt64 = 0
        let n = pread(map.raw, &value, 8, off_t(UInt(bitPattern: address) / UInt(pageSize) * 8))
        return n == 8 ? value : nil
    }
}
