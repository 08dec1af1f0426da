/// How many data streams carry pages where nobody said.
public enum StreamCount {
    /// On links that one stream fills: the second one has another processor pack and encrypt.
    public static let usual = 2
    /// On long links. What one stream may have on its way is bounded by the round trip and by each loss, so that streams add up: 8 were twice as
    /// fast as 2 at 50 ms with one packet of a thousand lost (docs/decisions/0052).
    static let long = 8
    static let longRoundTrip = Duration.milliseconds(30)

    /// - Parameters:
    ///   - asked: `--streams`.
    ///   - roundTrip: the shortest one seen on the control connection; nil if none was.
    ///   - processors: of the source's host.
    public static func chosen(asked: Int?, roundTrip: Duration?, processors: Int) -> Int {
        if let asked { return asked }
        if let roundTrip, roundTrip >= longRoundTrip { return long }
        return min(usual, max(processors, 1))
    }

    /// What to tell of a number that differs from the usual one without having been asked for.
    static func note(_ count: Int, asked: Int?, roundTrip: Duration?) -> String? {
        guard asked == nil, count > usual, let roundTrip else { return nil }
        return
            "\(count) data streams: a round trip takes \(roundTrip.components.seconds * 1000 + roundTrip.components.attoseconds / 1_000_000_000_000_000) ms"
    }
}
