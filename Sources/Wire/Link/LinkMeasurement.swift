import Host
public import Model
import NIOCore

/// What is known of the way to the peer, for predictions before a migration and for its report.
public struct LinkMeasurement: Equatable, Sendable {
    /// Smallest round trip seen: of pings, so with both programs' share in it.
    public var roundTrip: Duration
    /// Bytes a second that one stream carried; nil when no burst was sent.
    public var bytesPerSecond: ByteCount?

    public init(roundTrip: Duration, bytesPerSecond: ByteCount?) {
        self.roundTrip = roundTrip
        self.bytesPerSecond = bytesPerSecond
    }

    /// How long `bytes` take over one stream, with one round trip for the first of them; nil without a rate.
    public func transferTime(_ bytes: ByteCount) -> Duration? {
        guard let rate = bytesPerSecond, rate > .zero else { return nil }
        return roundTrip + .nanoseconds(Int64(Double(bytes.rawValue) / Double(rate.rawValue) * 1e9))
    }

    /// Measures the round trip by pings over `control` and, with a stream, the rate by a short burst of filler.
    /// Blocks for the burst, `limit` at most.
    /// - Parameters:
    ///   - burst: enough to open the congestion window: at 10 Gbit/s and 1 ms 16 MiB are a dozen round trips.
    /// - Throws: why the stream broke, or `silent` when no ping came back.
    public static func measure(
        control: ControlConnection, stream: DataSender? = nil, burst: ByteCount = .mebibytes(16),
        within limit: Duration = .milliseconds(500)
    ) throws(WireError) -> LinkMeasurement {
        guard let best = control.compareClocks().best else {
            throw .silent(peer: control.connection.peer, seconds: 5)
        }
        guard let stream else { return LinkMeasurement(roundTrip: best.roundTrip, bytesPerSecond: nil) }
        return LinkMeasurement(
            roundTrip: best.roundTrip, bytesPerSecond: try stream.measureRate(burst: burst, within: limit))
    }
}

extension DataSender {
    /// Sends filler and sees how fast the peer acknowledges it. Before or between rounds, never in them.
    /// - Returns: bytes a second; nil if nothing got over.
    public func measureRate(burst: ByteCount, within limit: Duration) throws(WireError) -> ByteCount? {
        let began = MonotonicInstant.now
        let deadline = began + limit
        let before = connection.acknowledgedBytes
        var sent = 0
        while sent < burst.rawValue, MonotonicInstant.now < deadline { sent += try fill() }
        try drain()
        guard let before else { return Self.rate(sent, began.elapsed) }
        // What stands in the kernel's buffer has left this program but not this host: wait for the peer's word.
        var acknowledged = 0
        while let now = connection.acknowledgedBytes {
            acknowledged = Int(now - before)
            if acknowledged >= sent || MonotonicInstant.now >= deadline { break }
            sleepThread(.microseconds(200))
        }
        return Self.rate(acknowledged, began.elapsed)
    }

    private static func rate(_ bytes: Int, _ time: Duration) -> ByteCount? {
        bytes > 0 && time > .zero ? ByteCount(Int(Double(bytes) / time.inSeconds)) : nil
    }
}

/// TCP_INFO of linux/tcp.h.
private let tcpInfoOption: CInt = 11

extension Connection {
    /// Bytes that the peer's kernel has acknowledged: tcpi_bytes_acked of `struct tcp_info`, 120 bytes into it
    /// (include/uapi/linux/tcp.h, Linux 4.2 or newer; glibc's structure ends before it). Nil where it is not TCP.
    var acknowledgedBytes: UInt64? {
        guard let provider = channel as? any SocketOptionProvider else { return nil }
        let words: EventLoopFuture<InlineArray<32, UInt64>> = provider.unsafeGetSocketOption(
            level: .tcp, name: NIOBSDSocket.Option(rawValue: tcpInfoOption))
        return try? words.wait()[15]
    }
}
