public import Host

/// What /proc/PID/smaps says of a process's mappings, kept from before the freeze.
///
/// Reading it costs 75 ns a present page; of its lines CRIU uses the headers, which /proc/PID/maps has too, and the
/// flags. Only madvise(2) and mlock(2) between this copy and the freeze can make a copied flag wrong.
public struct SmapsSnapshot: Sendable {
    private struct Area {
        var start: UInt64
        var end: UInt64
        /// Protection and name: what two pieces of one area have in common.
        var kind: ArraySlice<UInt8>
        var flags: ArraySlice<UInt8>
    }

    private var areas: [Area] = []

    /// Reads a running process.
    public static func of(pid: Int32) throws(SystemError) -> SmapsSnapshot {
        SmapsSnapshot(try FileIO.read("/proc/\(pid)/smaps"))
    }

    init(_ text: [UInt8]) {
        var header: Header?
        for line in text.split(separator: 0x0a) {
            if line.starts(with: "VmFlags:".utf8) {
                if let header { areas.append(Area(start: header.start, end: header.end, kind: header.kind, flags: line)) }
                header = nil
            } else if let next = Header(line) {
                header = next
            }
        }
    }

    /// Areas that a lazy restore doesn't take although they are private and anonymous: locked ones, huge pages.
    public var locked: [Range<UInt64>] {
        areas.filter { area in
            area.flags.split(separator: 0x20).contains { $0.elementsEqual("lo".utf8) || $0.elementsEqual("ht".utf8) }
        }.map { $0.start..<$0.end }
    }

    /// The text of a smaps file with today's headers and the kept flags.
    /// - Parameter maps: /proc/PID/maps, read after the freeze.
    /// - Returns: nil if there is an area of which nothing is known: then CRIU must read the real file.
    public func rebuilt(maps: [UInt8]) -> [UInt8]? {
        var out: [UInt8] = [], index = 0
        out.reserveCapacity(maps.count * 2)
        for line in maps.split(separator: 0x0a) {
            guard let header = Header(line) else { return nil }
            while index < areas.count, areas[index].end <= header.start { index += 1 }
            guard let area = areas[index...].prefix(while: { $0.start < header.end }).first(where: { $0.kind == header.kind })
            else { return nil }
            out += line
            out.append(0x0a)
            out += area.flags
            out.append(0x0a)
        }
        return out
    }

    /// The first line of an area: `START-END PERM OFFSET DEVICE INODE NAME`.
    private struct Header {
        var start: UInt64
        var end: UInt64
        /// All but the addresses and the offset.
        var kind: ArraySlice<UInt8>

        init?(_ line: ArraySlice<UInt8>) {
            var at = line.startIndex
            guard let start = Self.number(line, &at), at < line.endIndex, line[at] == UInt8(ascii: "-") else { return nil }
            at += 1
            guard let end = Self.number(line, &at), start < end, at + 6 < line.endIndex, line[at] == 0x20 else { return nil }
            let protection = line[at + 1..<at + 5]
            // Behind the offset: a file's second half has another one, but the same device, inode and name.
            guard let behind = line[(at + 6)...].firstIndex(of: 0x20) else { return nil }
            (self.start, self.end) = (start, end)
            kind = protection + line[behind...]
        }

        private static func number(_ line: ArraySlice<UInt8>, _ at: inout Int) -> UInt64? {
            var value: UInt64 = 0
            let first = at
            while at < line.endIndex, at - first < 16, let digit = Character(UnicodeScalar(line[at])).hexDigitValue {
                value = value << 4 | UInt64(digit)
                at += 1
            }
            return at > first ? value : nil
        }
    }
}
