public import Model

/// What went through a data stream so far.
public struct DataCounters: Equatable, Sendable {
    /// Bytes of frames, headers included, after packing; without TLS's part.
    public var wireBytes = ByteCount.zero
    /// Payload bytes before packing.
    public var payloadBytes = ByteCount.zero
    /// Filler that kept the connection warm.
    public var warmBytes = ByteCount.zero
    public var frames = 0
    /// The codec in use, apart from single frames that try another one.
    public var codec = Codec.none
    /// How long the producer waited for the link, in total.
    public var blocked = Duration.zero

    public init() {}
}
