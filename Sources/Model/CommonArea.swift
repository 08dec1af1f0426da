/// Private memory that several processes have at the same addresses: after a fork parent and child share its pages until one of them
/// writes (copy-on-write).
public struct CommonArea: Hashable, Sendable, Codable {
    /// Of the first of the spaces.
    public var start: UInt64
    /// First address behind the area.
    public var end: UInt64
    /// The processes' address spaces; the first is the oldest.
    public var spaces: [SpaceID]

    public init(start: UInt64, end: UInt64, spaces: [SpaceID]) { (self.start, self.end, self.spaces) = (start, end, spaces) }
}
