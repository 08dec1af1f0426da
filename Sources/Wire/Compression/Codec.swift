/// How the payload of a frame is packed.
public enum Codec: UInt8, Sendable, CaseIterable, CustomStringConvertible {
    case none = 0
    /// LZ4 block format.
    case lz4 = 1
    /// One Zstandard frame.
    case zstd = 2

    public var description: String {
        switch self {
        case .none: "none"
        case .lz4: "lz4"
        case .zstd: "zstd"
        }
    }
}
