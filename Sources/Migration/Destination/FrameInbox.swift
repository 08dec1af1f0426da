import Containers
import Synchronization
import Wire

/// Frames that came for the container while it was on its way: kept until it runs here, then given to it, in order; what comes
/// later is given at once.
///
/// The source is believed as far as everywhere else: frames that aren't for this container are refused, and there is an end to
/// how many are kept. Doubled and reordered ones are TCP's daily bread.
final class FrameInbox: Sendable {
    private struct State {
        var frames: [CapturedFrame] = []
        var bytes = 0
        var isOpen = false
    }

    private let network: NetworkPreparation
    private let state = Mutex(State())

    /// What a source keeps at most, and so sends before the container runs.
    private static let mostBytes = 64 << 20
    private static let mostFrames = 100_000

    init(_ network: NetworkPreparation) { self.network = network }

    func take(_ frame: CapturedFrame) throws(SinkFailure) {
        guard network.takes(frame) else {
            throw SinkFailure(
                "a frame of \(frame.bytes.count) bytes that is not for interface \(frame.interface) of this container")
        }
        try state.withLock { state throws(SinkFailure) in
            if state.isOpen { return network.give(frame) }
            guard state.bytes + frame.bytes.count <= Self.mostBytes, state.frames.count < Self.mostFrames else {
                throw SinkFailure("more frames for the container than \(Self.mostBytes >> 20) MiB")
            }
            state.frames.append(frame)
            state.bytes += frame.bytes.count
        }
    }

    /// The container runs and its port is open.
    func open() {
        state.withLock { state in
            for frame in state.frames { network.give(frame) }
            (state.frames, state.bytes, state.isOpen) = ([], 0, true)
        }
    }
}
