import CLinux
import Glibc

/// A userfaultfd: page faults of an address space handled here. userfaultfd(2), ioctl_userfaultfd(2).
///
/// It may be of our own memory, of another process (CRIU hands them over; `Injection` takes one out of a running
/// process), and works from any thread. Closing one with much protected memory costs about 22 ms/GB.
public final class Userfaultfd: Sendable {
    /// What the kernel shall do; bits of UFFDIO_API.
    public struct Features: OptionSet, Sendable {
        public var rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        public static let writeProtectFlag = Features(rawValue: 1 << 0)
        public static let eventFork = Features(rawValue: 1 << 1)
        public static let eventRemap = Features(rawValue: 1 << 2)
        public static let eventRemove = Features(rawValue: 1 << 3)
        public static let missingHugeTLB = Features(rawValue: 1 << 4)
        public static let missingSharedMemory = Features(rawValue: 1 << 5)
        public static let eventUnmap = Features(rawValue: 1 << 6)
        public static let signalBus = Features(rawValue: 1 << 7)
        public static let threadID = Features(rawValue: 1 << 8)
        /// Linux 5.19: write protection of shared memory and huge pages.
        public static let writeProtectShared = Features(rawValue: 1 << 12)
        /// Linux 6.4: protects pages that aren't there yet.
        public static let writeProtectUnpopulated = Features(rawValue: 1 << 13)
        public static let poison = Features(rawValue: 1 << 14)
        /// Linux 6.7: a write clears the protection by itself; nobody is asked. What the tracker needs.
        public static let writeProtectAsync = Features(rawValue: 1 << 15)
        public static let move = Features(rawValue: 1 << 16)
    }

    public struct Mode: OptionSet, Sendable {
        public var rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        public static let missing = Mode(rawValue: 1)
        public static let writeProtect = Mode(rawValue: 2)
        public static let minor = Mode(rawValue: 4)
    }

    public enum Event: Sendable, Hashable {
        /// A thread waits for a page. `write` and `protected` are the kernel's flags.
        case fault(address: UInt64, write: Bool, protected: Bool)
        /// The process forked: descriptor number of the child's userfaultfd, which is the receiver's to take over.
        case fork(child: Int32)
        case remap(from: UInt64, to: UInt64, byteCount: UInt64)
        /// MADV_DONTNEED or the like: the range reads as zeros (or as the file) from now on.
        case remove(Range<UInt64>)
        case unmap(Range<UInt64>)
        case unknown(UInt32)
    }

    /// What UFFDIO_COPY and UFFDIO_ZEROPAGE did.
    public struct Filled: Hashable, Sendable {
        /// Bytes done before the kernel stopped.
        public var byteCount: Int
        /// Why it stopped: 0 at the end; EAGAIN (read the pending events, go on), EEXIST (a page is there already: skip
        /// it, wake), ENOENT (not mapped or not registered any more), ESRCH (the process is gone), ENOSPC, EFAULT.
        public var errno: Int32
    }

    private let owner: OwnedDescriptor
    public init(_ descriptor: consuming OwnedDescriptor) { owner = descriptor }

    /// Of this process; faults of user mode only, which needs no capability (Linux 5.11).
    public convenience init(features: Features, nonBlocking: Bool = true) throws(SystemError) {
        let raw = try check("userfaultfd", "", linux_userfaultfd(O_CLOEXEC | (nonBlocking ? O_NONBLOCK : 0) | 1))
        self.init(OwnedDescriptor(taking: Int32(raw)))
        try negotiate(features)
    }

    /// For poll: readable when an event waits. Valid for as long as a reference is held.
    public var descriptor: Int32 { owner.raw }
    public func duplicate() throws(SystemError) -> OwnedDescriptor { try owner.duplicate() }

    /// The handshake; once, before anything else.
    /// - Returns: all features that the kernel has.
    /// - Throws: EINVAL if one isn't known; the descriptor can be asked again with fewer.
    @discardableResult
    public func negotiate(_ features: Features) throws(SystemError) -> Features {
        var api = linux_uffdio_api(api: LINUX_UFFD_API, features: features.rawValue, ioctls: 0)
        try check("UFFDIO_API", "features 0x\(hex(features.rawValue))", linux_ioctl(owner.raw, LINUX_UFFDIO_API, &api))
        return Features(rawValue: api.features)
    }

    /// Watches a range. Areas inside must be compatible; holes are allowed, but not nothing at all.
    /// - Throws: EINVAL (no area, or one that can't be watched), EBUSY (another userfaultfd's), ESRCH (the address space
    ///   is gone), EPERM.
    public func register(_ range: Range<UInt64>, _ mode: Mode) throws(SystemError) {
        var r = linux_uffdio_register()
        r.range = linux_uffdio_range(start: range.lowerBound, length: range.upperBound - range.lowerBound)
        r.mode = mode.rawValue
        try check("UFFDIO_REGISTER", describe(range), linux_ioctl(owner.raw, LINUX_UFFDIO_REGISTER, &r))
    }

    public func unregister(_ range: Range<UInt64>) throws(SystemError) {
        var r = linux_uffdio_range(start: range.lowerBound, length: range.upperBound - range.lowerBound)
        try check("UFFDIO_UNREGISTER", describe(range), linux_ioctl(owner.raw, LINUX_UFFDIO_UNREGISTER, &r))
    }

    /// Lets threads go on that wait for a fault in the range.
    public func wake(_ range: Range<UInt64>) throws(SystemError) {
        var r = linux_uffdio_range(start: range.lowerBound, length: range.upperBound - range.lowerBound)
        try check("UFFDIO_WAKE", describe(range), linux_ioctl(owner.raw, LINUX_UFFDIO_WAKE, &r))
    }

    /// Puts pages where none are. 64 KB or more a call: 3.5-4.1 GB/s; 4 KB: 2.1.
    /// - Parameters:
    ///   - source: whole pages, page aligned.
    ///   - wake: wakes who waits for these pages.
    public func copy(_ source: UnsafeRawBufferPointer, to address: UInt64, wake: Bool = true) -> Filled {
        var c = linux_uffdio_copy()
        c.target = address
        c.source = UInt64(UInt(bitPattern: source.baseAddress))
        c.length = UInt64(source.count)
        c.mode = wake ? 0 : 1  // UFFDIO_COPY_MODE_DONTWAKE
        let result = linux_ioctl(owner.raw, LINUX_UFFDIO_COPY, &c)
        return Filled(byteCount: result == 0 ? source.count : Int(max(c.copied, 0)), errno: Int32(-result))
    }

    /// Puts the page of zeros where no pages are.
    public func zero(_ range: Range<UInt64>, wake: Bool = true) -> Filled {
        var z = linux_uffdio_zeropage()
        z.range = linux_uffdio_range(start: range.lowerBound, length: range.upperBound - range.lowerBound)
        z.mode = wake ? 0 : 1  // UFFDIO_ZEROPAGE_MODE_DONTWAKE
        let result = linux_ioctl(owner.raw, LINUX_UFFDIO_ZEROPAGE, &z)
        return Filled(
            byteCount: result == 0 ? Int(range.upperBound - range.lowerBound) : Int(max(z.zeroed, 0)), errno: Int32(-result))
    }

    /// Protects or unprotects a registered range.
    public func writeProtect(_ range: Range<UInt64>, _ protected: Bool) throws(SystemError) {
        var p = linux_uffdio_writeprotect()
        p.range = linux_uffdio_range(start: range.lowerBound, length: range.upperBound - range.lowerBound)
        p.mode = protected ? 1 : 0
        try check("UFFDIO_WRITEPROTECT", describe(range), linux_ioctl(owner.raw, LINUX_UFFDIO_WRITEPROTECT, &p))
    }

    /// Takes the events that wait.
    /// - Returns: an empty list if there are none (non-blocking descriptors). An address space that has ended shows no
    ///   event: poll answers hang-up, and the fill calls ESRCH.
    public func readEvents(limit: Int = 64) throws(SystemError) -> [Event] {
        let size = Int(LINUX_UFFD_MESSAGE_SIZE)
        return try withUnsafeTemporaryAllocation(byteCount: size * limit, alignment: 8) { buffer throws(SystemError) in
            let n = retrying { read(owner.raw, buffer.baseAddress, buffer.count) }
            if n < 0, Glibc.errno == EAGAIN { return [] }
            try checkErrno("read", "userfaultfd", n)
            return (0..<(n / size)).map { Userfaultfd.event(linux_uffd_decode(buffer.baseAddress! + $0 * size)) }
        }
    }

    private static func event(_ e: linux_uffd_event) -> Event {
        switch e.kind {
        case 0x12: .fault(address: e.address, write: e.flags & 1 != 0, protected: e.flags & 2 != 0)
        case 0x13: .fork(child: Int32(bitPattern: e.child))
        case 0x14: .remap(from: e.from, to: e.to, byteCount: e.length)
        case 0x15: .remove(e.from..<max(e.from, e.to))
        case 0x16: .unmap(e.from..<max(e.from, e.to))
        default: .unknown(e.kind)
        }
    }

    private func describe(_ range: Range<UInt64>) -> String { "\(hex(range.lowerBound))-\(hex(range.upperBound))" }
}
