/// One mapping of a process: a line of /proc/PID/maps.
public struct MemoryArea: Hashable, Sendable {
    /// What the area is, as far as its line tells.
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// Private memory without a file: the heap, stacks, named ([anon:...]) areas too.
        case anonymous
        /// A private mapping of a file; pages written to are the process's own.
        case filePrivate
        /// A shared mapping of a file.
        case fileShared
        /// Shared memory: memfd, SysV, /dev/shm, shared anonymous.
        case sharedMemory
        /// A device, or an object of the kernel ([io_uring], perf).
        case device
        case hugeTLB
        case vdso
        /// [vvar], [vvar_vclock]
        case vvar
        case vsyscall
        case uprobes
    }

    public struct Protection: OptionSet, Hashable, Sendable {
        public var rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let read = Protection(rawValue: 1)
        public static let write = Protection(rawValue: 2)
        public static let execute = Protection(rawValue: 4)
        /// MAP_SHARED.
        public static let shared = Protection(rawValue: 8)
    }

    public var start: UInt64
    /// First address behind the area.
    public var end: UInt64
    /// Offset in the file, in bytes.
    public var offset: UInt64
    public var inode: UInt64
    /// major << 20 | minor, as the kernel counts inside (MKDEV).
    public var device: UInt32
    public var protection: Protection
    public var kind: Kind
    /// Where the name lies in the pool of its `MemoryMap`.
    var nameStart: UInt32 = 0
    var nameCount: UInt32 = 0

    public init(
        start: UInt64, end: UInt64, protection: Protection, offset: UInt64 = 0, device: UInt32 = 0, inode: UInt64 = 0, kind: Kind
    ) {
        (self.start, self.end, self.protection, self.offset) = (start, end, protection, offset)
        (self.device, self.inode, self.kind) = (device, inode, kind)
    }

    public var byteCount: UInt64 { end - start }
    /// Private memory without a file. What a lazy restore can fill is this, unless locked (see `AreaDetails`).
    public var isPrivateAnonymous: Bool { kind == .anonymous }
    /// A private mapping of a file that can't be executed now: initialised data, relocated tables.
    public var isFileData: Bool { kind == .filePrivate && !protection.contains(.execute) }
    /// Mappings that the kernel makes and nobody copies.
    public var isKernelMade: Bool { kind == .vdso || kind == .vvar || kind == .vsyscall || kind == .uprobes }
}

/// All mappings of a process; /proc/PID/maps.
///
/// One pass, two arrays that keep their room when it is filled again. A map of a running process is a snapshot in parts:
/// the kernel gives a page of text at a time, so areas can repeat or miss when the process maps meanwhile.
public struct MemoryMap: Sendable {
    public private(set) var areas: [MemoryArea] = []
    private var names: [UInt8] = []

    public init() {}
    /// Parses the text of a maps file.
    public init(_ text: Span<UInt8>) { parse(text) }
    public init(_ text: String) { parse(Array(text.utf8).span) }

    /// Reads a process's map.
    public static func of(pid: Int32) throws(SystemError) -> MemoryMap {
        let bytes = try FileIO.read("/proc/\(pid)/maps")
        return MemoryMap(bytes.span)
    }

    /// Name of an area of this map, as /proc shows it (with ` (deleted)`), empty if it has none.
    public func name(of area: MemoryArea) -> String {
        String(decoding: names[Int(area.nameStart)..<Int(area.nameStart + area.nameCount)], as: UTF8.self)
    }

    /// The area that holds an address.
    public func area(holding address: UInt64) -> MemoryArea? {
        var low = 0, high = areas.count
        while low < high {
            let middle = (low + high) / 2
            if areas[middle].end <= address { low = middle + 1 } else { high = middle }
        }
        return low < areas.count && areas[low].start <= address ? areas[low] : nil
    }

    /// The first area of this name, such as `[vdso]`.
    public func first(named name: String) -> MemoryArea? { areas.first { self.name(of: $0) == name } }

    /// Replaces the content. Lines that can't be read are left out.
    public mutating func parse(_ text: Span<UInt8>) {
        areas.removeAll(keepingCapacity: true)
        names.removeAll(keepingCapacity: true)
        var scanner = ByteScanner(text)
        while !scanner.isAtEnd {
            if let area = parseLine(&scanner) { areas.append(area) }
            scanner.skipLine()
        }
    }

    private mutating func parseLine(_ s: inout ByteScanner) -> MemoryArea? {
        guard var area = MemoryMap.parseHeader(&s) else { return nil }
        s.skipBlanks()
        let from = s.position, to = s.lineEnd
        area.kind = MemoryMap.kind(of: area, name: s, from, to)
        area.nameStart = UInt32(names.count)
        area.nameCount = UInt32(to - from)
        for i in from..<to { names.append(s.bytes[i]) }
        return area
    }

    /// `start-end prot offset major:minor inode`: also the first line of each area in smaps.
    static func parseHeader(_ s: inout ByteScanner) -> MemoryArea? {
        guard let start = s.hexadecimal(), s.skip(0x2d), let end = s.hexadecimal(), s.skip(0x20), start < end else { return nil }
        var protection: MemoryArea.Protection = []
        if s.take() == UInt8(ascii: "r") { protection.insert(.read) }
        if s.take() == UInt8(ascii: "w") { protection.insert(.write) }
        if s.take() == UInt8(ascii: "x") { protection.insert(.execute) }
        if s.take() == UInt8(ascii: "s") { protection.insert(.shared) }
        guard s.skip(0x20), let offset = s.hexadecimal(), s.skip(0x20) else { return nil }
        guard let major = s.hexadecimal(), s.skip(0x3a), let minor = s.hexadecimal(), s.skip(0x20) else { return nil }
        guard major < 1 << 12, minor < 1 << 20, let inode = s.decimal() else { return nil }
        return MemoryArea(
            start: start, end: end, protection: protection, offset: offset,
            device: UInt32(major << 20 | minor), inode: UInt64(bitPattern: Int64(inode)), kind: .anonymous)
    }

    private static func kind(of area: MemoryArea, name s: borrowing ByteScanner, _ from: Int, _ to: Int) -> MemoryArea.Kind {
        func named(_ prefix: StaticString) -> Bool { s.starts(with: prefix, at: from, limit: to) }
        if named("[vdso]") { return .vdso }
        if named("[vvar") { return .vvar }
        if named("[vsyscall]") { return .vsyscall }
        if named("[uprobes]") { return .uprobes }
        if named("/anon_hugepage") { return .hugeTLB }
        if area.protection.contains(.shared) {
            if named("/dev/zero (deleted)") || named("/SYSV") || named("/memfd:") || named("/dev/shm/") || named("[anon_shmem") {
                return .sharedMemory
            }
            return named("/dev/") || named("anon_inode:") || named("[") ? .device : .fileShared
        }
        if area.inode != 0 || named("/") { return .filePrivate }
        return named("anon_inode:") ? .device : .anonymous
    }
}
