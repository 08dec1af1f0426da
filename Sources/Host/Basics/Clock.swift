public import Glibc

/// A moment of CLOCK_MONOTONIC, in nanoseconds. Comparable only within one host and one boot.
public struct MonotonicInstant: Hashable, Comparable, Sendable {
    public var nanoseconds: Int64
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// The present moment.
    public static var now: MonotonicInstant {
        var t = timespec()
        clock_gettime(CLOCK_MONOTONIC, &t)
        return MonotonicInstant(nanoseconds: Int64(t.tv_sec) * 1_000_000_000 + Int64(t.tv_nsec))
    }

    public static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }
    public static func + (a: Self, b: Duration) -> Self {
        MonotonicInstant(nanoseconds: a.nanoseconds &+ b.wholeNanoseconds)
    }
    public static func - (a: Self, b: Self) -> Duration { .nanoseconds(a.nanoseconds - b.nanoseconds) }

    /// How long until this moment, never negative.
    public var remaining: Duration { max(self - .now, .zero) }
    /// How long since this moment.
    public var elapsed: Duration { .now - self }

    /// As the C structure, on the same clock.
    public var asTimespec: timespec {
        Glibc.timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    }
}

extension Duration {
    /// Nanoseconds, held at the bounds of Int64 (292 years).
    public var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (n, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? (seconds < 0 ? .min : .max) : n + attoseconds / 1_000_000_000
    }
    /// Milliseconds as a number to show.
    public var inMilliseconds: Double { Double(wholeNanoseconds) / 1e6 }
}

/// A moment of the wall clock, for journals and logs only.
public struct RealtimeInstant: Hashable, Sendable {
    /// Nanoseconds since 1970-01-01 UTC.
    public var nanoseconds: Int64
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
    public static var now: RealtimeInstant {
        var t = timespec()
        clock_gettime(CLOCK_REALTIME, &t)
        return RealtimeInstant(nanoseconds: Int64(t.tv_sec) * 1_000_000_000 + Int64(t.tv_nsec))
    }
}

/// Sleeps the calling thread, whatever signals arrive. Product code waits for events; this is for pacing.
public func sleepThread(_ duration: Duration) {
    var t = (MonotonicInstant.now + duration).asTimespec
    while clock_nanosleep(CLOCK_MONOTONIC, 1 /* TIMER_ABSTIME */, &t, nil) == EINTR {}
}
