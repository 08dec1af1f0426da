public import Host
public import Model

/// Why the page store could not do what was asked. The pages that it held before are untouched.
public enum StoreError: Error, Hashable, CustomStringConvertible {
    /// No room: the limit given at creation, the disk, the tmpfs or the host's memory is used up.
    /// `stored` is what is in the store, `limit` what it may hold; `kernel` is what the kernel said, if it was the kernel.
    case full(stored: ByteCount, limit: ByteCount, kernel: SystemError?)
    /// The store cannot be made here, neither in memory nor in the spill folder.
    case noRoom(needed: ByteCount, memoryAvailable: ByteCount, spillAvailable: ByteCount?, hint: String)
    /// A run that is not whole pages, lies beyond the address space, or a space number above 2^28 - 1 or 0.
    case badRun(space: SpaceID, address: UInt64, byteCount: Int)
    /// Descriptors that hold no store, or one of another version of Martlet.
    case notAStore(found: String, expected: String)
    /// Shared memory that was not announced, or not like this: what came.
    case shared(String)
    /// A kernel call failed for another reason.
    case system(SystemError)

    public var description: String {
        switch self {
        case .full(let stored, let limit, let kernel):
            let why = kernel.map { "\($0)" } ?? "the limit given at its creation is reached"
            return "page store full with \(stored.rawValue >> 20) of \(limit.rawValue >> 20) MB: \(why)"
        case .noRoom(let needed, let memory, let spill, let hint):
            let disk = spill.map { ", the spill folder \($0.rawValue >> 20) MB" } ?? ", no spill folder is set"
            return "no room for the container's memory: \(needed.rawValue >> 20) MB needed, memory has "
                + "\(memory.rawValue >> 20) MB\(disk); \(hint)"
        case .badRun(let space, let address, let count):
            return "space \(space.rawValue), address 0x\(String(address, radix: 16)), \(count) bytes: whole pages of a "
                + "user address space were due"
        case .notAStore(let found, let expected): return "not a page store: found \(found), expected \(expected)"
        case .shared(let what): return "shared memory: \(what)"
        case .system(let error): return "page store: \(error)"
        }
    }
}

/// Where the pages' data lies.
public enum StoreKind: Hashable, Sendable {
    /// A memfd: anonymous memory, gone with its last descriptor.
    case memory
    /// An unnamed file on a tmpfs at this path (one mounted with `huge=advise`, say).
    case tmpfs(String)
    /// An unnamed file in this folder on a disk, for containers larger than the free memory.
    case spill(String)
}

/// Figures of a store at one moment.
public struct StoreStatistics: Hashable, Sendable {
    /// Pages whose content is stored.
    public var stored: PageCount
    /// Pages known to be zero.
    public var zero: PageCount
    /// Pages of the announced live sets.
    public var live: PageCount
    /// Live pages whose content is not known yet.
    public var missing: PageCount
    /// 2 MB pieces of address space with an entry in the index.
    public var chunks: Int
}
