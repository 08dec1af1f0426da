import Host
public import Model
import Synchronization

/// A bucket of bytes that fills at a steady rate. Pure arithmetic: the time comes in. Who takes more than is there goes into debt and has to wait until it is paid, so that frames
/// larger than the bucket pass as well.
struct TokenBucket: Equatable, Sendable {
    /// Bytes a second.
    let rate: Double
    /// The most bytes that gather while nothing is sent.
    let capacity: Double
    private var level: Double
    private var updated: MonotonicInstant

    /// - Parameter rate: bytes a second, more than zero.
    init(rate: ByteCount, now: MonotonicInstant) {
        self.rate = Double(max(1, rate.rawValue))
        // A tenth of a second: short enough that a burst after a pause stays small, long enough that the
        // sender's naps (0.1 ms late at best) cost no rate.
        capacity = max(self.rate / 10, 4096)
        level = capacity
        updated = now
    }

    /// Takes `bytes` at `now`.
    /// - Returns: how long to wait before sending them; zero when there were enough.
    mutating func take(_ bytes: Int, now: MonotonicInstant) -> Duration {
        let elapsed = max(now - updated, .zero).inSeconds
        level = min(capacity, level + elapsed * rate) - Double(bytes)
        updated = max(updated, now)
        return level >= 0 ? .zero : .nanoseconds(Int64(-level / rate * 1e9))
    }
}

/// The user's limit for what a migration sends, shared by all its streams.
public final class BandwidthLimit: Sendable {
    private let bucket: Mutex<TokenBucket>

    /// - Parameter rate: bytes a second on the wire (after compression, before TLS's 1 %), at least 1.
    public init(rate: ByteCount) {
        bucket = Mutex(TokenBucket(rate: rate, now: .now))
    }

    /// Takes `bytes` for a sender that may not block.
    /// - Returns: how long nothing more may be sent.
    func claim(_ bytes: Int) -> Duration { bucket.withLock { $0.take(bytes, now: .now) } }

    /// Blocks the calling thread until `bytes` may be sent.
    /// - Returns: how long it was told to sleep.
    @discardableResult
    func take(_ bytes: Int) -> Duration {
        let wait = claim(bytes)
        if wait > .zero { sleepThread(wait) }
        return wait
    }
}

extension Duration {
    /// Seconds as a number to calculate with.
    var inSeconds: Double { Double(wholeNanoseconds) / 1e9 }
}
