/// `ssh://[USER@]HOST[:PORT]`: a destination that is reached by OpenSSH. HOST may be an alias of its configuration; what is not
/// named is left to that configuration.
public struct SSHAddress: Hashable, Sendable, CustomStringConvertible {
    public static let scheme = "ssh://"

    public var user: String?
    public var host: String
    public var port: UInt16?

    /// Reads an address.
    /// - Throws: what is wrong with it, in words.
    public init(_ text: String) throws(AddressMistake) {
        func mistake(_ why: String) -> AddressMistake { AddressMistake(text: text, why: why) }
        guard text.hasPrefix(Self.scheme) else { throw mistake("ssh://[USER@]HOST[:PORT] is due") }
        let rest = text.dropFirst(Self.scheme.count)
        guard !rest.contains("/") else { throw mistake("nothing may follow the host: ssh://[USER@]HOST[:PORT] is due") }
        var place = rest
        if let at = rest.lastIndex(of: "@") {
            let name = String(rest[..<at])
            guard !name.contains(":") else { throw mistake("it takes no password: ssh uses keys") }
            guard Self.isPlain(name), !name.contains("@") else { throw mistake("\"\(name)\" is no user's name") }
            user = name
            place = rest[rest.index(after: at)...]
        }
        let (name, digits) = try Self.split(place, mistake)
        if let digits {
            guard let number = UInt16(digits), number > 0, digits.allSatisfy(\.isNumber) else {
                throw mistake("\"\(digits)\" is no port: 1 to 65535 is due")
            }
            port = number
        }
        guard Self.isPlain(name) else {
            throw mistake(name.isEmpty ? "the host is missing: ssh://[USER@]HOST[:PORT] is due" : "\"\(name)\" is no host's name")
        }
        host = name
    }

    /// Host and port, as text.
    private static func split(_ place: Substring, _ mistake: (String) -> AddressMistake) throws(AddressMistake)
        -> (String, String?)
    {
        if place.hasPrefix("[") {
            guard let end = place.firstIndex(of: "]") else { throw mistake("the bracket does not close") }
            let rest = place[place.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { throw mistake("only a port may follow the bracket") }
            let host = String(place[place.index(after: place.startIndex)..<end])
            return (host, rest.isEmpty ? nil : String(rest.dropFirst()))
        }
        let parts = place.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { throw mistake("an IPv6 address belongs into brackets: ssh://[2001:db8::2]") }
        return (String(parts.first ?? ""), parts.count == 2 ? String(parts[1]) : nil)
    }

    /// No option of ssh's, and nothing that a shell or a terminal would take for something else.
    private static func isPlain(_ name: String) -> Bool {
        guard let first = name.unicodeScalars.first, first != "-" else { return false }
        return name.unicodeScalars.allSatisfy { scalar in
            scalar.value > 0x20 && scalar.value != 0x7f && !"\"'`$\\;&|<>()*?!{}[]#".unicodeScalars.contains(scalar)
        }
    }

    public var description: String {
        let place = host.contains(":") ? "[\(host)]" : host
        return Self.scheme + (user.map { "\($0)@" } ?? "") + place + (port.map { ":\($0)" } ?? "")
    }

    /// As a person would type it behind `ssh`.
    var words: String { (port.map { "-p \($0) " } ?? "") + (user.map { "\($0)@" } ?? "") + host }
}

/// A destination that can't be read.
public struct AddressMistake: Error, Equatable, Sendable, CustomStringConvertible {
    public var text: String
    public var why: String
    public init(text: String, why: String) { (self.text, self.why) = (text, why) }
    public var description: String { "\(text): \(why)" }
}
