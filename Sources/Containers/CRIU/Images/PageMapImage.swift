public import Model

/// pagemap-PID.img or pagemap-shmem-ID.img: which pages of a process, or of a shared object, lie in a pages file.
public struct PageMapImage: Hashable, Sendable {
    /// criu/include/image.h, PE_*.
    public struct Flags: OptionSet, Hashable, Sendable {
        public var rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// In the images of an earlier dump.
        public static let parent = Flags(rawValue: 1)
        /// A lazy restore may leave it to the fault server.
        public static let lazy = Flags(rawValue: 2)
        /// In this dump's pages file.
        public static let present = Flags(rawValue: 4)
    }

    public struct Entry: Hashable, Sendable {
        public var run: PageRun
        public var flags: Flags
        public init(run: PageRun, flags: Flags) { (self.run, self.flags) = (run, flags) }
    }

    /// Number in the pages file's name: pages-ID.img.
    public var pagesID: UInt32
    public var entries: [Entry]

    /// No x86-64 process has more; beyond it sums could overflow.
    private static let maximumPages: UInt64 = 1 << 35

    /// Decodes an image. In CRIU 4.2 the number of pages is field 5; field 2, the old one, is 0 then.
    init(name: String, bytes: [UInt8]) throws(ImageError) {
        let file = try ImageFile(name: name, kind: .pageMap, bytes: bytes)
        var id: UInt32?
        try file.fields(of: 0) { field in if field.number == 1 { id = field.uint32 } }
        guard let id else { throw .malformed(name: name, why: "it names no pages file") }
        pagesID = id
        entries = []
        var total: UInt64 = 0
        for index in file.entries.indices.dropFirst() {
            entries.append(try Self.entry(file, index))
            total += UInt64(entries[entries.count - 1].run.count)
            if total > Self.maximumPages { throw .malformed(name: name, why: "it counts more pages than a process can have") }
        }
    }

    private static func entry(_ file: ImageFile, _ index: Int) throws(ImageError) -> Entry {
        var address: UInt64?, count: UInt64 = 0, oldCount: UInt64 = 0, flags: UInt32?, inParent = false
        try file.fields(of: index) { field in
            switch field.number {
            case 1: address = field.unsigned
            case 2: oldCount = field.unsigned ?? 0
            case 3: inParent = field.bool ?? false
            case 4: flags = field.uint32
            case 5: count = field.unsigned ?? 0
            default: break
            }
        }
        let pages = count > 0 ? count : oldCount
        guard let address, address % UInt64(pageSize) == 0, pages > 0, pages <= maximumPages, address < 1 << 57 else {
            throw .malformed(name: file.name, why: "entry \(index) is no run of pages")
        }
        // criu/pagemap.c: images without flags are older ones, in which all is present that isn't a parent's.
        let known = flags.map(Flags.init) ?? (inParent ? .parent : .present)
        return Entry(run: PageRun(start: address, count: Int(pages)), flags: known)
    }

    public init(pagesID: UInt32, entries: [Entry]) { (self.pagesID, self.entries) = (pagesID, entries) }

    /// As CRIU 4.2 writes it: the old count is there, and 0.
    func encoded() -> [UInt8] {
        var head = ProtobufWriter()
        head.field(1, UInt64(pagesID))
        var all = [head.bytes]
        for entry in entries {
            var w = ProtobufWriter()
            w.field(1, entry.run.start)
            w.field(2, UInt64(0))
            w.field(4, UInt64(entry.flags.rawValue))
            w.field(5, UInt64(entry.run.count))
            all.append(w.bytes)
        }
        return ImageFile.encode(kind: .pageMap, entries: all)
    }

    /// Pages that the pages file must hold.
    public var presentPages: PageCount {
        PageCount(entries.reduce(0) { $0 + ($1.flags.contains(.present) ? $1.run.count : 0) })
    }

    /// Rewrites LAZY|PRESENT to PRESENT, in place.
    ///
    /// A dump without lazy pages marks what could have been lazy all the same, and a lazy restore then takes it for
    /// somebody else's: it would never be read from the images (seen as SIGSEGV).
    /// - Returns: how many entries changed.
    static func makePresent(name: String, bytes: inout [UInt8]) throws(ImageError) -> Int {
        let file = try ImageFile(name: name, kind: .pageMap, bytes: bytes)
        var changed = 0, at = 8
        for index in file.entries.indices {
            var valueAt: Int?
            try file.fields(of: index) { field in
                // A key and a value of one byte each.
                if index > 0, field.number == 4, field.unsigned == 6, field.range.count == 2 {
                    valueAt = field.range.upperBound - 1
                }
            }
            if let valueAt {
                bytes[at + 4 + valueAt] = UInt8(Flags.present.rawValue)
                changed += 1
            }
            at += 4 + file.entries[index].count
        }
        return changed
    }
}
