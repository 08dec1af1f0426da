/// A JSON document as a tree that keeps what it doesn't understand.
///
/// OCI's config.json and the runtimes' state files carry fields of versions and vendors that nobody here knows.
/// Objects keep their order and numbers their spelling, so that an edit of one field leaves all others as they were.
public enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    /// As written: 64-bit identifiers and `1e3` survive.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([Member])

    /// A name and its value within an object.
    public struct Member: Hashable, Sendable {
        public var name: String
        public var value: JSONValue
        public init(_ name: String, _ value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    /// A whole number.
    public static func integer(_ value: some BinaryInteger) -> JSONValue { .number(String(value)) }
    /// An array of strings.
    public static func strings(_ values: [String]) -> JSONValue { .array(values.map(JSONValue.string)) }
}

extension JSONValue {
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    public var members: [Member]? { if case .object(let value) = self { value } else { nil } }
    /// A number without a fraction that fits; Go's encoder may write a large one as 1e+06.
    public var integer: Int? {
        guard case .number(let text) = self else { return nil }
        return Int(text) ?? Double(text).flatMap { Int(exactly: $0) }
    }
    /// The strings of an array; other elements are left out.
    public var strings: [String]? { array.map { $0.compactMap(\.string) } }

    /// A member of an object. Where a name occurs twice the last one counts, as with Go's decoder.
    /// Assigning nil removes it; assigning to something that is no object makes it one.
    public subscript(name: String) -> JSONValue? {
        get { members?.last { $0.name == name }?.value }
        set {
            var all = members ?? []
            if let newValue {
                if let index = all.lastIndex(where: { $0.name == name }) {
                    all[index].value = newValue
                } else {
                    all.append(Member(name, newValue))
                }
            } else {
                all.removeAll { $0.name == name }
            }
            self = .object(all)
        }
    }

    /// A member of a member; setting makes the objects on the way.
    public subscript(path: [String]) -> JSONValue? {
        get {
            var value: JSONValue? = self
            for name in path { value = value?[name] }
            return value
        }
        set {
            guard let first = path.first else {
                self = newValue ?? .null
                return
            }
            guard path.count > 1 else {
                self[first] = newValue
                return
            }
            var inner = self[first] ?? .object([])
            inner[Array(path.dropFirst())] = newValue
            self[first] = inner
        }
    }
}
