import Glibc
import Host
import Synchronization

/// The frames that come for the container while it is cut off, in the order in which they came; kept until the container has
/// them, here or there.
///
/// Begun before the freeze; `cut` decides what of before was not delivered; then they are handed on as they come.
final class FrameCapture: Sendable {
    private let taps: [FrameTap]
    private let kept = Mutex(Kept())

    private struct Kept {
        var frames: [CapturedFrame] = []
        var bytes = 0
        /// Frames that didn't fit.
        var lost = 0
        /// How many were handed on.
        var handedOn = 0
        var isOver = false
        /// What came before the port closed and may have been held back, in order.
        var newcomers: [CapturedFrame] = []
        var newcomerBytes = 0
        /// Of each interface: datagrams among them, and how many of these were delivered, as far as is known.
        var datagrams: [Int: Int] = [:]
        var delivered: [Int: Int] = [:]
    }

    /// All frames together: what 1 Gbit/s brings in half a second. TCP repeats what doesn't fit.
    static let mostBytes = 64 << 20
    /// A frame of the shortest kind costs more than its bytes.
    private static let mostFrames = 100_000

    /// - Parameter interfaces: the container's with a bridge, by their order in its description.
    init(_ interfaces: [(number: Int, bridge: String, mac: MACAddress)]) throws(SystemError) {
        taps = try interfaces.map { interface throws(SystemError) in
            try FrameTap(bridge: interface.bridge, interface: interface.number, mac: interface.mac)
        }
    }

    /// Throws away what was delivered so far; from here on newcomers are held back, and kept.
    func forgetAll() { for tap in taps { tap.drain { _ in } } }

    /// Takes what came so far; to be asked often while newcomers are held back.
    ///
    /// Between the beginning of `forgetAll` and that of the hold datagrams were delivered, and would come twice if they were kept. From the
    /// hold on all are dropped and counted, so those that were delivered are the first `captured - dropped`: a number that doesn't change.
    /// A datagram that was captured and not counted yet, or came between the two looks, makes it too large for a moment: the
    /// smallest that was ever seen is right.
    /// - Parameter dropped: how many datagrams the hold has dropped of an interface, looked at before this call; nil if that can't be
    ///   told, and then all are kept.
    func take(dropped: [Int: Int]?) {
        for tap in taps { tap.drain { note($0) } }
        kept.withLock { kept in
            guard let dropped else { return kept.delivered = [:] }
            for (interface, seen) in kept.datagrams {
                let now = max(0, seen - (dropped[interface] ?? seen))
                kept.delivered[interface] = min(kept.delivered[interface] ?? now, now)
            }
        }
    }

    /// Whether datagrams came for the container since `forgetAll`.
    var hasDatagrams: Bool { kept.withLock { !$0.datagrams.isEmpty } }

    private func note(_ frame: CapturedFrame) {
        guard let kind = frame.newcomer else { return }
        kept.withLock { kept in
            guard kept.newcomerBytes + frame.bytes.count <= Self.mostBytes, kept.newcomers.count < Self.mostFrames else {
                kept.lost += 1
                return
            }
            kept.newcomers.append(frame)
            kept.newcomerBytes += frame.bytes.count
            if kind == .datagram { kept.datagrams[frame.interface, default: 0] += 1 }
        }
    }

    /// Right before the port closes: of what came until now only newcomers weren't delivered. A frame that comes between the
    /// two is delivered twice, which TCP doesn't mind; a datagram isn't, which is held back.
    /// - Parameter dropped: where the port never closes and the hold is over: how many datagrams it dropped. Those behind them were
    ///   delivered.
    func keepNewcomers(dropped: [Int: Int]? = nil) {
        for tap in taps { tap.drain { note($0) } }
        let newcomers = kept.withLock { kept in
            let delivered = kept.delivered
            var met: [Int: Int] = [:]
            defer { (kept.newcomers, kept.newcomerBytes, kept.datagrams) = ([], 0, [:]) }
            return kept.newcomers.filter { frame in
                guard frame.newcomer == .datagram else { return true }
                let number = met[frame.interface, default: 0], first = delivered[frame.interface] ?? 0
                met[frame.interface] = number + 1
                return number >= first && dropped.map { number < first + ($0[frame.interface] ?? 0) } ?? true
            }
        }
        for frame in newcomers { keep(frame) }
    }

    /// What was kept until now.
    var soFar: [CapturedFrame] { kept.withLock { $0.frames } }

    private func keep(_ frame: CapturedFrame) {
        kept.withLock { kept in
            guard kept.bytes + frame.bytes.count <= Self.mostBytes, kept.frames.count < Self.mostFrames else {
                kept.lost += 1
                return
            }
            kept.frames.append(frame)
            kept.bytes += frame.bytes.count
        }
    }

    /// All that came until now.
    func all() -> [CapturedFrame] {
        for tap in taps { tap.drain(keep) }
        return kept.withLock { $0.frames }
    }

    /// Hands on what came and what comes, on the calling thread, until `end`.
    func handOn(_ send: ([CapturedFrame]) throws -> Void) rethrows {
        while true {
            for tap in taps { tap.drain(keep) }
            let (next, isOver) = kept.withLock { kept in
                defer { kept.handedOn = kept.frames.count }
                return (Array(kept.frames[kept.handedOn...]), kept.isOver)
            }
            if !next.isEmpty { try send(next) }
            if isOver { return }
            for tap in taps { _ = try? Poll.wait(tap.descriptor, for: .input, until: .now + Self.look) }
            if taps.isEmpty { return }
        }
    }

    /// How often `handOn` looks whether it is over; frames wake it at once.
    private static let look = Duration.milliseconds(20)

    func end() { kept.withLock { $0.isOver = true } }

    var lost: Int { kept.withLock { $0.lost } }
}
