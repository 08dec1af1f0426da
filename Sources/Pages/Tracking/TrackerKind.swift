import CLinux
import Glibc
import Host
import Model

/// How dirty pages are found. Three ways, one interface (`ContainerTracker`).
public enum TrackerKind: String, CaseIterable, Sendable, Codable {
    /// userfaultfd with asynchronous write protection and PAGEMAP_SCAN: Linux 6.7. A write costs the workload about
    /// 0.9 µs a page and round. The default.
    case writeProtect
    /// The kernel's soft-dirty bits: CONFIG_MEM_SOFT_DIRTY. Nothing is injected, but each round reports everything written
    /// since the first (the sender leaves out what it has sent with the same content): reading and clearing the bits is not
    /// one step. Standing still meanwhile doesn't help: khugepaged, which no cgroup freezes, fills dropped pages with zeros
    /// between the two (seen on Linux 6.1), and the destination would keep what was dropped.
    case softDirty
    /// A hash of every page in each round: needs nothing, costs 0.2 s/GB and round, and catches everything.
    case contentHash

    /// What the running kernel can do.
    public struct Support: Sendable, Hashable {
        public let kind: TrackerKind
        /// nil if it can be used; else what is missing, for people.
        public let obstacle: String?
        public var isAvailable: Bool { obstacle == nil }
    }

    /// Asks the kernel, with memory and descriptors of our own.
    public func probe() -> Support {
        switch self {
        case .writeProtect: Support(kind: self, obstacle: TrackerKind.writeProtectObstacle())
        case .softDirty: Support(kind: self, obstacle: TrackerKind.softDirtyObstacle())
        case .contentHash: Support(kind: self, obstacle: nil)
        }
    }

    /// Every kind in order of preference.
    public static func probeAll() -> [Support] { allCases.map { $0.probe() } }

    /// The best kind that this kernel offers.
    public static func best() -> TrackerKind { probeAll().first(where: \.isAvailable)?.kind ?? .contentHash }

    /// What the tracker demands of a userfaultfd.
    static let features: Userfaultfd.Features = [
        .writeProtectFlag, .writeProtectShared, .writeProtectUnpopulated, .writeProtectAsync,
    ]

    private static func softDirtyObstacle() -> String? {
        if !SoftDirty.isAvailable() { return "the kernel keeps no soft-dirty bits (CONFIG_MEM_SOFT_DIRTY is not set)" }
        // A page dropped and read again is a page of zeros that isn't soft-dirty: it has to be told from others.
        if (try? KernelScan.probe().hasScan) == true || ZeroPages.known != nil { return nil }
        return "frame numbers in /proc/PID/pagemap are hidden (CAP_SYS_ADMIN is needed before Linux 6.7)"
    }

    private static func writeProtectObstacle() -> String? {
        do throws(SystemError) {
            let own = try Userfaultfd(features: features)
            return try KernelScan.probe().hasScan
                ? withExtendedLifetime(own) { nil } : "the kernel lacks PAGEMAP_SCAN (Linux 6.7)"
        } catch {
            switch error.errno {
            case EINVAL: return "the kernel lacks userfaultfd with asynchronous write protection (Linux 6.7): \(error)"
            case ENOSYS: return "the kernel is built without userfaultfd: \(error)"
            default: return "\(error)"
            }
        }
    }
}

/// Which parts of PAGEMAP_SCAN the kernel knows; unknown bits are refused with EINVAL.
struct KernelScan: Sendable {
    var hasScan: Bool
    var hasGuard: Bool

    static func probe() throws(SystemError) -> KernelScan {
        let map = try PageMap(thread: getpid())
        let buffer = PageRegionBuffer(capacity: 1)
        func works(_ told: PageCategories) -> Bool {
            var query = PageQuery()
            query.all = .present
            query.told = told
            query.maximumPages = 1
            var runs: [PageRun] = []
            return (try? map.scan(0..<UInt64(pageSize), query, buffer: buffer, into: &runs)) != nil
        }
        return KernelScan(hasScan: works(.present), hasGuard: works(.guarded))
    }
}
