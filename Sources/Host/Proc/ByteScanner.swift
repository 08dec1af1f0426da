/// Walks over bytes of a /proc file. Never reads beyond the end and never allocates, except to make a string.
struct ByteScanner: ~Escapable {
    let bytes: Span<UInt8>
    private(set) var position: Int
    let end: Int

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>) {
        self.bytes = bytes
        position = 0
        end = bytes.count
    }

    var isAtEnd: Bool { position >= end }
    /// The next byte, 0 at the end.
    var peek: UInt8 { position < end ? bytes[position] : 0 }

    @_lifetime(self: copy self)
    mutating func move(to newPosition: Int) { position = min(newPosition, end) }

    @_lifetime(self: copy self)
    mutating func take() -> UInt8 {
        guard position < end else { return 0 }
        defer { position += 1 }
        return bytes[position]
    }

    @_lifetime(self: copy self)
    mutating func skip(_ character: UInt8) -> Bool {
        guard position < end, bytes[position] == character else { return false }
        position += 1
        return true
    }

    /// Skips blanks and tabs.
    @_lifetime(self: copy self)
    mutating func skipBlanks() {
        while position < end, bytes[position] == 0x20 || bytes[position] == 0x09 { position += 1 }
    }

    /// Skips to behind the next line feed.
    @_lifetime(self: copy self)
    mutating func skipLine() {
        while position < end, bytes[position] != 0x0a { position += 1 }
        position = min(position + 1, end)
    }

    /// Position of the line feed that ends this line, or the end.
    var lineEnd: Int {
        var p = position
        while p < end, bytes[p] != 0x0a { p += 1 }
        return p
    }

    /// A number in base 16 without prefix; nil if there is no digit or it doesn't fit.
    @_lifetime(self: copy self)
    mutating func hexadecimal() -> UInt64? {
        var value: UInt64 = 0, digits = 0
        while position < end {
            let c = bytes[position]
            let digit: UInt8
            switch c {
            case 0x30...0x39: digit = c - 0x30
            case 0x61...0x66: digit = c - 0x61 + 10
            case 0x41...0x46: digit = c - 0x41 + 10
            default: return digits > 0 ? value : nil
            }
            guard value >> 60 == 0 else { return nil }
            value = value << 4 | UInt64(digit)
            digits += 1
            position += 1
        }
        return digits > 0 ? value : nil
    }

    /// A number in base 10, with sign; nil if there is no digit or it doesn't fit.
    @_lifetime(self: copy self)
    mutating func decimal() -> Int? {
        let negative = skip(0x2d)
        var value: UInt = 0, digits = 0
        while position < end, case let c = bytes[position], c >= 0x30, c <= 0x39 {
            let (scaled, o1) = value.multipliedReportingOverflow(by: 10)
            let (sum, o2) = scaled.addingReportingOverflow(UInt(c - 0x30))
            if o1 || o2 { return nil }
            value = sum
            digits += 1
            position += 1
        }
        guard digits > 0 else { return nil }
        // Unsigned 64-bit values (a signal mask's bit 63, rlimits) come through with their bit pattern.
        return negative ? 0 &- Int(bitPattern: value) : Int(bitPattern: value)
    }

    /// The bytes up to a blank, tab or line feed.
    @_lifetime(self: copy self)
    mutating func word() -> String {
        let start = position
        while position < end, case let c = bytes[position], c != 0x20, c != 0x09, c != 0x0a { position += 1 }
        return text(start, position)
    }

    func text(_ from: Int, _ to: Int) -> String {
        guard to > from else { return "" }
        return bytes.extracting(from..<to).withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }

    /// Whether the bytes at the position are these.
    func starts(with text: StaticString) -> Bool { starts(with: text, at: position, limit: end) }

    func starts(with text: StaticString, at place: Int, limit: Int) -> Bool {
        let n = text.utf8CodeUnitCount
        guard place + n <= limit else { return false }
        for i in 0..<n where bytes[place + i] != text.utf8Start[i] { return false }
        return true
    }
}
