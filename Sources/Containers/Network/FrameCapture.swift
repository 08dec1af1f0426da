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

    /// Right before the port closes: of what came until now only newcomers weren't delivered. A frame that comes between the
    /// two is delivered twice, which TCP doesn't mind.
    func keepNewcomers() { for tap in taps { tap.drain { if $0.isNewcomer { keep($0) } } } }

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
