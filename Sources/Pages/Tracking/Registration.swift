import Glibc
import Host
import Model

/// Registers an address space with its userfaultfd: **ranges, not areas**.
///
/// One registration for each gap between areas that can't be registered. From a snapshot of the map, which is stale at once,
/// registering area by area splits areas that have grown since, and the program's mremap fails with EFAULT (8 of 8 runs;
/// with ranges 0 of 45). Only where a range is refused its areas are registered one by one, to find the one at fault.
struct Registration {
    let userfaultfd: Userfaultfd
    let areas: [MemoryArea]
    /// Indices of areas that the kernel refused.
    private(set) var refused: Set<Int> = []

    init(_ userfaultfd: Userfaultfd, _ areas: [MemoryArea]) {
        self.userfaultfd = userfaultfd
        self.areas = areas
    }

    enum Outcome { case done, spaceEnded }

    /// - Throws: nothing for refused areas; they are in `refused` then.
    mutating func run() -> Outcome {
        // A refused area becomes a new bound, and its neighbours are registered as ranges again.
        for _ in 0..<3 {
            let before = refused.count
            if pass() == .spaceEnded { return .spaceEnded }
            if refused.count == before { break }
        }
        return .done
    }

    private mutating func pass() -> Outcome {
        var low: UInt64?
        var members: [Int] = []
        for i in areas.indices {
            if areas[i].isRegistrable, !refused.contains(i) {
                low = low ?? (i == 0 ? areas[i].start : areas[i - 1].end)
                members.append(i)
                continue
            }
            // [vsyscall] lies behind the end of what a process can map.
            if let from = low, register(from..<min(areas[i].start, AddressSpace.end), members) == .spaceEnded {
                return .spaceEnded
            }
            low = nil
            members.removeAll(keepingCapacity: true)
        }
        guard let from = low, let last = areas.last else { return .done }
        return register(from..<max(last.end, AddressSpace.end), members)
    }

    private mutating func register(_ range: Range<UInt64>, _ members: [Int]) -> Outcome {
        switch code(range) {
        case 0: return .done
        case ESRCH: return .spaceEnded
        default: break
        }
        for i in members {
            switch code(areas[i].range) {
            case 0: break
            case ESRCH: return .spaceEnded
            default: refused.insert(i)
            }
        }
        return .done
    }

    private func code(_ range: Range<UInt64>) -> Int32 {
        do {
            try userfaultfd.register(range, .writeProtect)
            return 0
        } catch { return error.errno }
    }
}
