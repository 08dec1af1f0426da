/// files.img: what the tasks have open. Edited for files that a restore inherits.
enum FilesImage {
    private static let append: UInt64 = 0o2000  // O_APPEND
    private static let writing: UInt64 = 0o3  // O_ACCMODE other than O_RDONLY

    /// Makes external regular files restorable from whatever the destination has in their place.
    ///
    /// Without this CRIU refuses another size or mode (a fresh log file, /dev/null), and a log that wasn't opened for
    /// appending would continue behind a hole as long as the log at the source. Field numbers: images/fdinfo.proto,
    /// images/regfile.proto.
    /// - Returns: nil if there is nothing to change.
    static func relaxExternalFiles(_ bytes: [UInt8]) throws(ImageError) -> [UInt8]? {
        let file = try ImageFile(name: "files.img", kind: .files, bytes: bytes)
        var entries = file.entries, changed = false
        for index in entries.indices {
            var regular: (body: ArraySlice<UInt8>, range: Range<Int>)?
            try file.fields(of: index) { field in
                if field.number == 3, let body = field.bytes { regular = (body, field.range) }
            }
            guard let regular, let relaxed = try relax(Array(regular.body)) else { continue }
            var out = ProtobufWriter()
            out.append(entries[index][..<regular.range.lowerBound])
            out.field(3, bytes: relaxed)
            out.append(entries[index][regular.range.upperBound...])
            entries[index] = out.bytes
            changed = true
        }
        return changed ? file.encoded(kind: .files, entries: entries) : nil
    }

    private static func relax(_ body: [UInt8]) throws(ImageError) -> [UInt8]? {
        var isExternal = false, out = ProtobufWriter()
        do {
            var reader = ProtobufReader(body)
            while let field = try reader.next() {
                switch field.number {
                case 2:
                    let flags = field.unsigned ?? 0
                    out.field(2, flags & writing != 0 ? flags | append : flags)
                case 8, 10: break  // size and mode, which are checked
                default:
                    if field.number == 9 { isExternal = field.bool ?? false }
                    out.append(body[field.range])
                }
            }
        } catch { throw .malformed(name: "files.img", why: "\(error)") }
        return isExternal ? out.bytes : nil
    }
}
