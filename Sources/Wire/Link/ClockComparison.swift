public import Host

/// What pings tell of the way to the peer and of its clock. A pure value.
///
/// Each ping carries four times: sent (t1, here), received (t2, there), answered (t3, there), back (t4, here). The
/// round trip is (t4-t1)-(t3-t2). If both ways take equally long, the peer's clock is ((t2-t1)+(t3-t4))/2 ahead; the
/// error is at most half the round trip, so the quickest of the last pings is believed.
public struct ClockComparison: Equatable, Sendable {
    public struct Sample: Equatable, Sendable {
        public var roundTrip: Duration
        /// Peer's monotonic clock minus this host's.
        public var peerAhead: Duration
    }

    /// At ten seconds a ping this is some three minutes, within which two clocks drift apart by 2 ms at most
    /// (10 ppm each, the limit that NTP's discipline is designed for is 500).
    static let remembered = 16

    private var samples: [Sample] = []

    public init() {}

    /// Takes the four times of one ping. Impossible ones (a peer that answers before it was asked) are dropped.
    mutating func add(sent: Int64, received: Int64, answered: Int64, back: Int64) {
        let (whole, overflow) = back.subtractingReportingOverflow(sent)
        let (there, overflowThere) = answered.subtractingReportingOverflow(received)
        guard !overflow, !overflowThere, there >= 0, whole >= there else { return }
        // Differences of two hosts' uptimes: far below 2^62, unless the peer sends nonsense.
        let (one, overflowOne) = received.subtractingReportingOverflow(sent)
        let (two, overflowTwo) = answered.subtractingReportingOverflow(back)
        guard !overflowOne, !overflowTwo, abs(one) < 1 << 62, abs(two) < 1 << 62 else { return }
        samples.append(Sample(roundTrip: .nanoseconds(whole - there), peerAhead: .nanoseconds(one / 2 + two / 2)))
        if samples.count > Self.remembered { samples.removeFirst() }
    }

    /// The quickest of the last pings; nil before the first one came back.
    public var best: Sample? { samples.min { $0.roundTrip < $1.roundTrip } }

    /// A moment of the peer's clock on this host's; nil before the first ping came back.
    public func local(_ peers: MonotonicInstant) -> MonotonicInstant? {
        best.map { peers + (.zero - $0.peerAhead) }
    }
}
