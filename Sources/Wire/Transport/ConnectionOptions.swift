public import Model

/// What a connection can be tuned with. The defaults suit a local network.
public struct ConnectionOptions: Equatable, Sendable {
    /// For name resolution's answer, TCP, TLS and hello together. Two handshakes at 200 ms round trip with one
    /// retransmission stay below three seconds.
    public var connectTimeout: Duration = .seconds(10)
    /// TCP_USER_TIMEOUT: how long sent bytes may stay unacknowledged before the kernel gives the connection up.
    /// Without it a host that vanished is noticed after 15 minutes.
    public var userTimeout: Duration = .seconds(30)
    /// SO_SNDBUF, or nil to leave it to the kernel's own tuning, which reaches tcp_wmem's maximum (4 MiB by default).
    /// At 10 ms and 10 Gbit/s a final burst needs more (docs: 74 to 104 ms with 64 MiB instead of 132).
    public var sendBuffer: ByteCount?
    /// Bytes that a data stream may hold between its producer and the kernel. Enough to cover the event loop's
    /// naps at 2 GB/s; small enough that 8 streams stay below 32 MiB.
    public var inFlightLimit = ByteCount.mebibytes(4)
    /// Keep a data stream's congestion window open by filler while nothing else is sent.
    public var keepWarm = false
    /// Interval of a control connection's pings. After three without any answer the peer counts as gone: 16 s, which a frozen
    /// container stands still. Not TCP_USER_TIMEOUT's task: it also ends a stream whose reader is busy for long.
    public var keepAlive: Duration = .seconds(4)

    public init() {}
}
