extension JSONValue {
    /// The document as text.
    /// - Parameter indentation: for each level, as OCI tools use a tab; nil writes one line.
    public func encoded(indentation: String? = nil) -> [UInt8] {
        var out: [UInt8] = []
        write(to: &out, indentation: indentation, level: 0)
        return out
    }

    private func write(to out: inout [UInt8], indentation: String?, level: Int) {
        switch self {
        case .null: out += "null".utf8
        case .bool(let value): out += (value ? "true" : "false").utf8
        case .number(let text): out += text.utf8
        case .string(let text): Self.quote(text, to: &out)
        case .array(let values):
            Self.writeList("[", "]", values, &out, indentation, level) { value, out in
                value.write(to: &out, indentation: indentation, level: level + 1)
            }
        case .object(let members):
            Self.writeList("{", "}", members, &out, indentation, level) { member, out in
                Self.quote(member.name, to: &out)
                out += (indentation == nil ? ":" : ": ").utf8
                member.value.write(to: &out, indentation: indentation, level: level + 1)
            }
        }
    }

    private static func writeList<T>(
        _ open: String, _ close: String, _ elements: [T], _ out: inout [UInt8], _ indentation: String?, _ level: Int,
        _ element: (T, inout [UInt8]) -> Void
    ) {
        func newLine(_ level: Int, _ out: inout [UInt8]) {
            guard let indentation else { return }
            out.append(0x0a)
            for _ in 0..<level { out += indentation.utf8 }
        }
        out += open.utf8
        for (index, value) in elements.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            newLine(level + 1, &out)
            element(value, &out)
        }
        if !elements.isEmpty { newLine(level, &out) }
        out += close.utf8
    }

    private static func quote(_ text: String, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        for c in text.utf8 {
            switch c {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): out += [UInt8(ascii: "\\"), c]
            case 0x0a: out += "\\n".utf8
            case 0x09: out += "\\t".utf8
            case 0x0d: out += "\\r".utf8
            case ..<0x20: out += "\\u00".utf8 + [UInt8(ascii: "0") + c >> 4, Array("0123456789abcdef".utf8)[Int(c & 15)]]
            default: out.append(c)
            }
        }
        out.append(UInt8(ascii: "\""))
    }
}
