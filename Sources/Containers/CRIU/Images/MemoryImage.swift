/// mm-PID.img: the areas of a process.
public struct MemoryImage: Hashable, Sendable {
    /// Private memory, with or without a file.
    public struct Area: Hashable, Sendable {
        public var start: UInt64
        public var end: UInt64
        /// Anonymous, readable and writable, and with no further property than MAP_NORESERVE: as a plain mmap gives it.
        public var isPlain: Bool
        public init(start: UInt64, end: UInt64, isPlain: Bool) { (self.start, self.end, self.isPlain) = (start, end, isPlain) }
    }

    /// All that a restore with lazy pages maps ahead, in its order (criu/mem.c, premap_priv_vmas).
    public var privateAreas: [Area] = []

    /// criu/include/image.h, VMA_*.
    private enum Status {
        static let regular: UInt32 = 1 << 0
        static let privates: UInt32 = 1 << 6 | 1 << 9
        /// Shadow stacks and rings of AIO count as private.
        static let special: UInt32 = 1 << 13 | 1 << 15
        static let guarding: UInt32 = 1 << 16
        static let plugin: UInt32 = 1 << 27
    }
    private static let plainFlags: UInt32 = 0x22  // MAP_PRIVATE | MAP_ANONYMOUS
    private static let noReserve: UInt32 = 0x4000
    private static let hugeTLB: UInt32 = 0x40000
    private static let readWrite: UInt32 = 3

    init(name: String, bytes: [UInt8]) throws(ImageError) {
        let file = try ImageFile(name: name, kind: .memory, bytes: bytes)
        var bodies: [ArraySlice<UInt8>] = []
        try file.fields(of: 0) { field in if field.number == 14, let body = field.bytes { bodies.append(body) } }
        do { for body in bodies { if let area = try Self.area(body) { privateAreas.append(area) } } } catch {
            throw .malformed(name: name, why: "\(error)")
        }
    }

    /// images/vma.proto
    private static func area(_ body: ArraySlice<UInt8>) throws(ProtobufError) -> Area? {
        var area = Area(start: 0, end: 0, isPlain: false)
        var protection: UInt32 = 0, flags: UInt32 = 0, status: UInt32 = 0
        var reader = ProtobufReader(body)
        while let field = try reader.next() {
            switch field.number {
            case 1: area.start = field.unsigned ?? 0
            case 2: area.end = field.unsigned ?? 0
            case 5: protection = field.uint32 ?? 0
            case 6: flags = field.uint32 ?? 0
            case 7: status = field.uint32 ?? 0
            default: break
            }
        }
        let isPrivate = status & Status.regular != 0 && status & Status.privates != 0
        guard isPrivate || status & Status.special != 0, flags & hugeTLB == 0, area.start < area.end else { return nil }
        if status & (Status.guarding | Status.plugin) != 0 { return nil }
        area.isPlain = isPrivate && flags & ~noReserve == plainFlags && protection == readWrite
        return area
    }
}

extension ImageDirectory {
    /// The areas of one process.
    public func memory(of pid: Int32) throws(ImageError) -> MemoryImage {
        let name = "mm-\(pid).img"
        return try MemoryImage(name: name, bytes: read(name))
    }
}
