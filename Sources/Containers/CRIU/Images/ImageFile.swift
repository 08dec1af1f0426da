/// A CRIU image in its usual form: two magic numbers, then messages with a 32-bit length before each
/// (criu/image.c, criu/protobuf.c; the numbers are those of criu/include/magic.h of 4.2).
struct ImageFile {
    enum Kind: UInt32 {
        case inventory = 0x5831_3116
        case processTree = 0x5027_3030
        case pageMap = 0x5608_4025
        case core = 0x5505_3847
        case files = 0x5630_3138
        case memory = 0x5749_2820
        case identities = 0x5443_2030
        case descriptors = 0x5621_3732
        case mounts = 0x5556_3928
    }

    /// IMG_COMMON_MAGIC; the inventory alone lacks it.
    static let commonMagic: UInt32 = 0x5456_4319

    let name: String
    private(set) var entries: [[UInt8]] = []

    /// Decodes all of an image.
    /// - Throws: if a number or length doesn't fit, or bytes are left over.
    init(name: String, kind: Kind, bytes: [UInt8]) throws(ImageError) {
        self.name = name
        var at = 0
        if kind != .inventory {
            guard Self.word(bytes, at) == Self.commonMagic else {
                throw .malformed(name: name, why: "it doesn't begin as an image")
            }
            at += 4
        }
        guard Self.word(bytes, at) == kind.rawValue else { throw .malformed(name: name, why: "it is no \(kind) image") }
        at += 4
        while at < bytes.count {
            guard let length = Self.word(bytes, at).map(Int.init), length <= bytes.count - at - 4 else {
                throw .malformed(name: name, why: "entry \(entries.count) is cut off at byte \(at)")
            }
            entries.append(Array(bytes[at + 4..<at + 4 + length]))
            at += 4 + length
        }
    }

    /// The image with other entries.
    func encoded(kind: Kind, entries: [[UInt8]]) -> [UInt8] { Self.encode(kind: kind, entries: entries) }

    static func encode(kind: Kind, entries: [[UInt8]]) -> [UInt8] {
        var out: [UInt8] = []
        func append(_ word: UInt32) {
            for shift in stride(from: 0, to: 32, by: 8) { out.append(UInt8(truncatingIfNeeded: word >> UInt32(shift))) }
        }
        if kind != .inventory { append(Self.commonMagic) }
        append(kind.rawValue)
        for entry in entries {
            append(UInt32(entry.count))
            out += entry
        }
        return out
    }

    static func word(_ bytes: [UInt8], _ at: Int) -> UInt32? {
        guard at >= 0, at + 4 <= bytes.count else { return nil }
        return (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32($1 * 8) }
    }

    /// Reads one entry's fields.
    func fields(of entry: Int, _ body: (ProtobufReader.Field) -> Void) throws(ImageError) {
        guard entry < entries.count else {
            throw .malformed(name: name, why: "it has \(entries.count) entries, entry \(entry) is due")
        }
        do {
            var reader = ProtobufReader(entries[entry])
            while let field = try reader.next() { body(field) }
        } catch { throw .malformed(name: name, why: "entry \(entry): \(error)") }
    }
}
