import CLinux
import Glibc
public import Model

/// What the kernel knows of a page; bits of PAGEMAP_SCAN (linux/fs.h).
public struct PageCategories: OptionSet, Hashable, Sendable {
    public var rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// In an area with asynchronous write protection. Reported for holes too.
    public static let protectable = PageCategories(rawValue: 1 << 0)
    /// Written to since it was protected (or never protected).
    public static let written = PageCategories(rawValue: 1 << 1)
    /// Of a file or shared memory. Costs a look at each page's structure: 9-12 instead of 0.75 ms/GB.
    public static let file = PageCategories(rawValue: 1 << 2)
    public static let present = PageCategories(rawValue: 1 << 3)
    /// In swap, under migration, or a marker of write protection.
    public static let swapped = PageCategories(rawValue: 1 << 4)
    /// The shared page of zeros: read but never written.
    public static let zeroPage = PageCategories(rawValue: 1 << 5)
    public static let huge = PageCategories(rawValue: 1 << 6)
    /// Linux 6.14 or so; older kernels refuse unknown bits with EINVAL.
    public static let softDirty = PageCategories(rawValue: 1 << 7)
    /// A guard region (Linux 6.15).
    public static let guarded = PageCategories(rawValue: 1 << 8)
}

/// Which pages a scan reports, and what it does to them.
public struct PageQuery: Hashable, Sendable {
    public struct Flags: OptionSet, Hashable, Sendable {
        public var rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        /// Write-protects what matched, in the same step as it is reported.
        public static let protectMatching = Flags(rawValue: 1)
        /// Fails with EPERM at the first area without asynchronous write protection. Never together with
        /// `protectMatching` on a running target: an EPERM midway loses pages that were already protected.
        public static let failUntracked = Flags(rawValue: 2)
    }
    public var flags: Flags = []
    /// Bits that count as set when they aren't.
    public var inverted: PageCategories = []
    /// All of these must be set (after inversion).
    public var all: PageCategories = []
    /// At least one of these must be set (after inversion), if any is named.
    public var any: PageCategories = []
    /// What is told of each region. Neighbouring pages with equal bits come as one region.
    public var told: PageCategories = []
    /// Most pages to report; 0 is no limit.
    public var maximumPages = 0
    public init() {}
}

/// The buffer into which the kernel writes regions; used again from scan to scan.
public final class PageRegionBuffer {
    let regions: UnsafeMutableBufferPointer<linux_page_region>
    /// - Parameter capacity: regions a call; 65536 of them are 1.5 MB and make more than one call rare.
    public init(capacity: Int = 65536) { regions = .allocate(capacity: capacity) }
    deinit { regions.deallocate() }
}

/// Page states of a process: /proc/PID/pagemap with PAGEMAP_SCAN (Linux 6.7, ptrace rights).
///
/// Bound to the address space as of `init`: after an exec it goes on to show the old one, which is empty.
public struct PageMap: ~Copyable, Sendable {
    public let descriptor: OwnedDescriptor
    private let thread: Int32

    public init(thread: Int32) throws(SystemError) {
        self.thread = thread
        descriptor = try OwnedDescriptor(opening: "/proc/\(thread)/pagemap", flags: O_RDONLY)
    }

    /// Scans a range and appends what matches to `runs`, in address order; neighbours are joined.
    /// - Parameter skipping: regions told with one of these bits are left out.
    /// - Throws: EPERM (`failUntracked`), EINVAL for bits the kernel doesn't know, ENOTTY before Linux 6.7.
    public borrowing func scan(
        _ range: Range<UInt64>, _ query: PageQuery, buffer: PageRegionBuffer, skipping: PageCategories = [],
        into runs: inout [PageRun]
    ) throws(SystemError) {
        try scan(range, query, buffer: buffer) { pages, told in
            if told.isDisjoint(with: skipping) { runs.join(pages) }
        }
    }

    /// Scans a range and hands over each region that matches, in address order, with what is told of it.
    public borrowing func scan(
        _ range: Range<UInt64>, _ query: PageQuery, buffer: PageRegionBuffer, _ body: (Range<UInt64>, PageCategories) -> Void
    ) throws(SystemError) {
        var argument = linux_pm_scan_arg()
        argument.flags = query.flags.rawValue
        argument.start = range.lowerBound
        argument.end = range.upperBound
        argument.vec = UInt64(UInt(bitPattern: buffer.regions.baseAddress))
        argument.vec_len = UInt64(buffer.regions.count)
        argument.max_pages = UInt64(query.maximumPages)
        argument.category_inverted = query.inverted.rawValue
        argument.category_mask = query.all.rawValue
        argument.category_anyof_mask = query.any.rawValue
        argument.return_mask = query.told.rawValue
        while argument.start < range.upperBound {
            let n = linux_pagemap_scan(descriptor.raw, &argument)
            if n == -Int(EINTR) || n == -Int(EAGAIN) { continue }
            try check("PAGEMAP_SCAN", "thread \(thread), \(hex(argument.start))-\(hex(range.upperBound))", n)
            for region in buffer.regions[..<n] {
                body(region.start..<region.end, PageCategories(rawValue: region.categories))
            }
            // Where regions took several of the kernel's own buffers, walk_end is where the last full one ended, although the walk
            // went on behind it (Linux 6.18, do_pagemap_scan): with room left over the walk came to its end.
            guard n == buffer.regions.count, query.maximumPages == 0 else { return }
            argument.start = max(argument.walk_end, buffer.regions[n - 1].end)
        }
    }

    /// Whether asynchronous write protection holds in the whole range; an empty range counts as tracked.
    public borrowing func isTracked(_ range: Range<UInt64>, buffer: PageRegionBuffer) throws(SystemError) -> Bool {
        var query = PageQuery()
        query.flags = .failUntracked
        // Something that no page is, so that nothing is reported: zero page and guard at once.
        query.all = [.zeroPage, .huge]
        query.told = .present
        var none: [PageRun] = []
        do {
            try scan(range, query, buffer: buffer, into: &none)
            return true
        } catch {
            if error.errno == EPERM { return false }
            throw error
        }
    }
}

extension [PageRun] {
    /// Appends pages behind all others; joined with those directly before them.
    @inline(__always)
    public mutating func join(_ pages: Range<UInt64>) {
        let count = Int((pages.upperBound - pages.lowerBound) / UInt64(pageSize))
        if let last, last.end == pages.lowerBound {
            self[self.count - 1].count += count
        } else if count > 0 {
            append(PageRun(start: pages.lowerBound, count: count))
        }
    }
}

/// An address as the kernel prints it.
func hex(_ value: UInt64) -> String { String(value, radix: 16) }
