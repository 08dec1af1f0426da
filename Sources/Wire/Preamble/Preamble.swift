public import Model

/// What a connection is for.
public enum ConnectionRole: UInt8, Sendable, CaseIterable {
    /// Messages of the two state machines; never shares a connection with bulk data.
    case control = 1
    /// Pages and images, from the side that dialled to the side that accepted.
    case data = 2
    /// Raw bytes of the file synchronisation, both ways.
    case files = 3
}

/// The first 32 bytes of every connection, in plain text: enough for the agent to hand the connection to the
/// session of its migration. The same 32 bytes, repeated by both sides under TLS, are the *hello*: so nobody
/// between the hosts can have changed them, and the dialling side learns that it was accepted.
///
/// | offset | bytes | content |
/// |---|---|---|
/// | 0 | 8 | `MARTLET\n` |
/// | 8 | 2 | protocol version, little-endian |
/// | 10 | 1 | role: 1 control, 2 data, 3 files |
/// | 11 | 1 | index of the stream within its role |
/// | 12 | 4 | zero |
/// | 16 | 16 | migration identifier |
public struct Preamble: Hashable, Sendable {
    /// The only version that this program speaks. It grows with every change that an older program would misread.
    public static let protocolVersion: UInt16 = 1
    public static let byteCount = 32
    static let magic: [UInt8] = Array("MARTLET\n".utf8)

    public var role: ConnectionRole
    /// Number of the stream within its role, from 0 on.
    public var stream: UInt8
    public var migration: MigrationID

    public init(role: ConnectionRole, stream: UInt8 = 0, migration: MigrationID) {
        self.role = role
        self.stream = stream
        self.migration = migration
    }

    /// The 32 bytes to send.
    public var encoded: [UInt8] { encoded(version: Self.protocolVersion) }

    /// The same with another version in it: what an older or newer program would send.
    func encoded(version: UInt16) -> [UInt8] {
        Self.magic + [UInt8(truncatingIfNeeded: version), UInt8(version >> 8), role.rawValue, stream, 0, 0, 0, 0]
            + migration.bytes
    }

    /// Reads a preamble.
    /// - Parameter bytes: exactly 32 bytes.
    /// - Throws: what came and what was due.
    public init(decoding bytes: [UInt8]) throws(PreambleError) {
        guard bytes.count == Self.byteCount else { throw .length(came: bytes.count) }
        guard bytes.starts(with: Self.magic) else { throw .notMartlet(came: Array(bytes[..<8])) }
        let version = UInt16(bytes[8]) | UInt16(bytes[9]) << 8
        guard version == Self.protocolVersion else { throw .version(came: version) }
        guard let role = ConnectionRole(rawValue: bytes[10]) else { throw .role(came: bytes[10]) }
        guard bytes[12..<16].allSatisfy({ $0 == 0 }) else { throw .reserved(came: Array(bytes[12..<16])) }
        guard let migration = MigrationID(bytes: bytes[16...]) else { throw .length(came: bytes.count) }
        self.init(role: role, stream: bytes[11], migration: migration)
    }
}

/// Why 32 bytes are no preamble.
public enum PreambleError: Error, Equatable, Sendable, CustomStringConvertible {
    case length(came: Int)
    case notMartlet(came: [UInt8])
    case version(came: UInt16)
    case role(came: UInt8)
    case reserved(came: [UInt8])

    public var description: String {
        switch self {
        case .length(let came): "a preamble of \(came) bytes came, 32 were due"
        case .notMartlet(let came): "the bytes \(hexadecimal(came)) came, \"MARTLET\" was due: the peer is no martlet"
        case .version(let came): "protocol version \(came) came, \(Preamble.protocolVersion) was due"
        case .role(let came): "role \(came) came, 1 (control), 2 (data) or 3 (files) was due"
        case .reserved(let came): "reserved bytes \(hexadecimal(came)) came, zero was due"
        }
    }

    /// The refusal with which to answer a peer that sent this.
    public var refusal: Refusal {
        switch self {
        case .version: Refusal(.protocolVersion, note: "speaks version \(Preamble.protocolVersion)")
        case .length, .notMartlet, .role, .reserved: Refusal(.malformed, note: "not a preamble")
        }
    }
}
