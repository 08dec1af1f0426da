import Host
import Model
import NIOCore

/// The bytes between a producer and the kernel: counts them, holds the producer back, and tells it of the end.
final class StreamFlow: Sendable {
    /// What happened since the last call, for the compression's measurement.
    struct Progress {
        var drained: Int
        var blocked: Duration
        var elapsed: Duration
    }

    private struct State {
        var inFlight = 0
        var drained = 0
        var counters = DataCounters()
        var error: WireError?
        var warm = false
        /// The congestion window has been as large as the filler can make it.
        var isOpen = false
        var lastCall = MonotonicInstant.now
        var lastDrained = 0
    }

    private let connection: Connection
    private let limit: Int
    private let state = Monitor(State())

    init(_ connection: Connection) {
        self.connection = connection
        limit = connection.options.inFlightLimit.rawValue
    }

    /// - Throws: why the stream has ended, if it has.
    func check() throws(WireError) {
        if let error = state.withLock({ $0.error }) { throw error }
    }

    /// Waits for room, then gives `buffer` to the connection. The other parameters are for the counters.
    func send(_ buffer: ByteBuffer, payloadBytes: Int, frames: Int, codec: Codec) throws(WireError) -> Progress {
        let length = buffer.readableBytes
        let limit = limit
        let began = MonotonicInstant.now
        let outcome = state.wait { state -> Result<Progress, WireError>? in
            if let error = state.error { return .failure(error) }
            // A single buffer larger than the limit must pass as well.
            guard state.inFlight == 0 || state.inFlight + length <= limit else { return nil }
            let now = MonotonicInstant.now
            let progress = Progress(
                drained: state.drained - state.lastDrained, blocked: now - began, elapsed: now - state.lastCall)
            state.lastCall = now
            state.lastDrained = state.drained
            state.inFlight += length
            state.counters.wireBytes = state.counters.wireBytes + ByteCount(length)
            state.counters.blocked += progress.blocked
            state.counters.payloadBytes = ByteCount(payloadBytes)
            state.counters.frames = frames
            state.counters.codec = codec
            return .success(progress)
        }
        switch outcome {
        case .failure(let error): throw error
        case nil: throw .closed(peer: connection.peer)
        case .success(let progress):
            write(buffer)
            return progress
        }
    }

    private func write(_ buffer: ByteBuffer) {
        let length = buffer.readableBytes
        connection.channel.writeAndFlush(buffer).whenComplete { [self] result in
            state.withLock { state in
                state.inFlight -= length
                state.drained += length
                if case .failure(let error) = result, state.error == nil { state.error = connection.explain(error) }
            }
        }
    }

    /// Waits until nothing is in flight.
    func waitUntilDrained() throws(WireError) {
        let outcome = state.wait { state -> Result<Void, WireError>? in
            if let error = state.error { return .failure(error) }
            return state.inFlight == 0 ? .success(()) : nil
        }
        if case .failure(let error) = outcome { throw error }
    }

    /// Ends the stream: every call from now on throws `error`. What the receiving side said comes before what the
    /// system says of the connection that broke by it; otherwise the first reason stays.
    func end(_ error: WireError) {
        state.withLock { state in
            if case .complaint = error { state.error = error } else if state.error == nil { state.error = error }
        }
    }

    func keepWarm(_ warm: Bool) { state.withLock { $0.warm = warm } }

    func opened() { state.withLock { $0.isOpen = true } }

    /// False if it took longer. True at once where nothing opens it, or the stream is broken, which the next call tells.
    func waitUntilOpen(within limit: Duration) -> Bool {
        state.wait(until: .now + limit) { $0.isOpen || !$0.warm || $0.error != nil ? true : nil } ?? false
    }

    var wantsFiller: Bool { state.withLock { $0.warm && $0.error == nil && $0.inFlight == 0 } }

    /// True when filler is wanted now; counts it then.
    func takeWarmTurn(_ bytes: Int) -> Bool {
        state.withLock { state in
            guard state.warm, state.error == nil, state.inFlight == 0 else { return false }
            guard state.lastCall.elapsed >= .milliseconds(40) else { return false }
            state.counters.warmBytes = state.counters.warmBytes + ByteCount(bytes)
            return true
        }
    }

    var counters: DataCounters { state.withLock { $0.counters } }
    var inFlight: Int { state.withLock { $0.inFlight } }
}
