/// The answer to a connection that is not wanted: 32 bytes, so that a program of any version can read them.
/// Sent in plain text in answer to a preamble, or under TLS in place of a hello.
///
/// | offset | bytes | content |
/// |---|---|---|
/// | 0 | 8 | `MARTLET!` |
/// | 8 | 2 | protocol version of the refusing side, little-endian |
/// | 10 | 1 | reason |
/// | 11 | 1 | zero |
/// | 12 | 20 | a note in ASCII, filled up with zeros: for reasons that the reader does not know |
///
/// This layout never changes, whatever the protocol version.
public struct Refusal: Hashable, Sendable, CustomStringConvertible {
    public enum Reason: UInt8, Sendable, CaseIterable {
        case protocolVersion = 1
        case malformed = 2
        case unknownMigration = 3
        case busy = 4
        case shuttingDown = 5
        /// The certificate of the refused side does not bear the name or address that was dialled.
        case wrongName = 6
        /// The certificate of the refused side is not one for a Martlet host.
        case wrongUsage = 7
        /// The hello under TLS differs from the preamble before it.
        case altered = 8
    }

    static let magic: [UInt8] = Array("MARTLET!".utf8)
    static let noteLimit = 20

    /// The protocol version that the refusing side speaks.
    public var version: UInt16
    /// As it came: a newer program may have reasons of its own.
    public var code: UInt8
    public var note: String

    public var reason: Reason? { Reason(rawValue: code) }

    /// - Parameter note: printable ASCII; what goes beyond 20 characters is cut off.
    public init(_ reason: Reason, note: String = "") {
        version = Preamble.protocolVersion
        code = reason.rawValue
        self.note = String(Self.printable(note.utf8))
    }

    /// The 32 bytes to send.
    public var encoded: [UInt8] {
        let text = Array(note.utf8.prefix(Self.noteLimit))
        return Self.magic + [UInt8(truncatingIfNeeded: version), UInt8(version >> 8), code, 0] + text
            + Array(repeating: 0, count: Self.noteLimit - text.count)
    }

    /// Reads a refusal; nil when the bytes are something else.
    public init?(decoding bytes: [UInt8]) {
        guard bytes.count == Preamble.byteCount, bytes.starts(with: Self.magic) else { return nil }
        version = UInt16(bytes[8]) | UInt16(bytes[9]) << 8
        code = bytes[10]
        note = Self.printable(bytes[12...].prefix { $0 != 0 })
    }

    /// What the peer sent goes to a terminal: nothing but printable ASCII passes.
    private static func printable(_ bytes: some Sequence<UInt8>) -> String {
        String(decoding: bytes.prefix(noteLimit).map { (0x20..<0x7f).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }

    public var description: String {
        switch reason {
        case .protocolVersion:
            "it speaks protocol version \(version), this program speaks \(Preamble.protocolVersion)"
        case .malformed: "it could not read what this program sent first (\(note))"
        case .unknownMigration: "it knows nothing of this migration"
        case .busy: note.isEmpty ? "it is busy" : "it is busy: \(note)"
        case .shuttingDown: "it is shutting down"
        case .wrongName: "this host's certificate does not bear the name under which it was dialled"
        case .wrongUsage: "this host's certificate is not one for a Martlet host"
        case .altered: "what it received first was altered on the way"
        case nil: "reason \(code)\(note.isEmpty ? "" : ": \(note)")"
        }
    }

    /// What the user can do about it.
    public var hint: String {
        switch reason {
        case .protocolVersion: "install the same version of martlet on both hosts"
        case .wrongName, .wrongUsage: "issue a new certificate: martlet certs issue NAME --address IP"
        case .busy, .shuttingDown: "try again later"
        case .altered: "something between the hosts changes the connection: dial the host directly"
        case .malformed, .unknownMigration, nil: "look at the log of the other side's martlet agent"
        }
    }
}
