import CLinux
import Glibc
public import Model

extension PageMap {
    /// Bits of the 64-bit entries that reading /proc/PID/pagemap gives: all there is before Linux 6.7.
    public struct EntryBits: OptionSet, Hashable, Sendable {
        public var rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        /// Written to since clear_refs (CONFIG_MEM_SOFT_DIRTY), or in an area made since.
        public static let softDirty = EntryBits(rawValue: 1 << 55)
        public static let writeProtected = EntryBits(rawValue: 1 << 57)
        /// Linux 6.13.
        public static let guarded = EntryBits(rawValue: 1 << 58)
        /// Of a file, or shared.
        public static let file = EntryBits(rawValue: 1 << 61)
        public static let swapped = EntryBits(rawValue: 1 << 62)
        public static let present = EntryBits(rawValue: 1 << 63)
    }

    /// Reads the entries of a range and appends the pages that match, neighbours joined.
    /// - Parameters:
    ///   - all: bits that must be set.
    ///   - any: at least one of these must be set.
    ///   - none: bits that must not be set.
    ///   - zeros: frames to leave out: pages of zeros have no content of their own.
    public borrowing func readEntries(
        _ range: Range<UInt64>, all: EntryBits = [], any: EntryBits = [.present, .swapped], none: EntryBits = [.guarded],
        except zeros: ZeroPages? = ZeroPages.known, into runs: inout [PageRun]
    ) throws(SystemError) {
        let most = 8192  // entries a read: 64 KiB, 32 MiB of memory
        try withUnsafeTemporaryAllocation(of: UInt64.self, capacity: most) { entries throws(SystemError) in
            var page = range.lowerBound / UInt64(pageSize)
            let last = range.upperBound / UInt64(pageSize)
            while page < last {
                let wanted = Int(min(UInt64(most), last - page))
                let n = retrying { pread(descriptor.raw, entries.baseAddress, wanted * 8, off_t(page * 8)) }
                try checkErrno("read", "pagemap", n)
                if n < 8 { return }  // the address space has ended
                for i in 0..<(n / 8) {
                    let entry = EntryBits(rawValue: entries[i])
                    guard entry.isSuperset(of: all), !entry.isDisjoint(with: any), entry.isDisjoint(with: none) else { continue }
                    if let zeros, entry.contains(.present), zeros.contains(ZeroPages.frame(entry.rawValue)) { continue }
                    let address = (page + UInt64(i)) * UInt64(pageSize)
                    if let previous = runs.last, previous.end == address {
                        runs[runs.count - 1].count += 1
                    } else {
                        runs.append(PageRun(start: address, count: 1))
                    }
                }
                page += UInt64(n / 8)
            }
        }
    }
}

/// Clearing of soft-dirty bits: /proc/PID/clear_refs, "4" (Linux 3.11, CONFIG_MEM_SOFT_DIRTY, never on arm64).
public enum SoftDirty {
    /// Forgets what was written to so far. Not one step with reading the bits: what is written between is lost, unless
    /// the process stands still meanwhile.
    public static func clear(thread: Int32) throws(SystemError) { try FileIO.writeValue("4", to: "/proc/\(thread)/clear_refs") }

    /// Whether this kernel keeps the bits, found out with a page of our own.
    public static func isAvailable() -> Bool {
        guard let page = mmap(nil, pageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), page != MAP_FAILED
        else { return false }
        defer { munmap(page, pageSize) }
        let address = UInt64(UInt(bitPattern: page))
        page.storeBytes(of: 1, as: UInt8.self)
        guard let map = try? PageMap(thread: getpid()), (try? clear(thread: getpid())) != nil else { return false }
        func dirty() -> Bool {
            var runs: [PageRun] = []
            _ = try? map.readEntries(address..<(address + UInt64(pageSize)), all: .softDirty, into: &runs)
            return !runs.isEmpty
        }
        if dirty() { return false }
        page.storeBytes(of: 2, as: UInt8.self)
        return dirty()
    }
}
