import Host
import NIOCore
import Synchronization

/// Why a control connection is over.
public enum ControlEnd: Error, Equatable, Sendable {
    /// This side closed it.
    case here
    /// The peer closed it and said why.
    case goodbye(String)
    /// Anything else: the peer died, the network broke, or nonsense came.
    case failed(WireError)
}

/// Messages between the two state machines: opaque bytes of up to 16 MiB, in order, in both directions. Pings keep
/// watch over the peer and compare the two hosts' clocks. Never carries bulk data, so that a message needs no more
/// than a round trip.
public final class ControlConnection: Sendable {
    public let connection: Connection
    private let shared: Shared
    private let handler: OnLoop<ControlHandler>

    /// Bytes that may wait for a slow peer before `send` refuses.
    static let pendingLimit = 64 << 20

    final class Shared: Sendable {
        struct Flow {
            var pending = 0
            var end: ControlEnd?
        }
        let flow = Mutex(Flow())
        let clock = Monitor(ClockComparison())
    }

    /// Takes over a connection of role control.
    /// - Parameters:
    ///   - onMessage: called for each message, in order, on the connection's thread: post it on and return.
    ///   - onClosed: called once, on the same thread, after the last message.
    public init(
        _ connection: Connection, onMessage: @escaping @Sendable ([UInt8]) -> Void,
        onClosed: @escaping @Sendable (ControlEnd) -> Void
    ) {
        self.connection = connection
        shared = Shared()
        handler = OnLoop(
            ControlHandler(
                connection, interval: connection.options.keepAlive, shared: shared, onMessage: onMessage, onClosed: onClosed))
        connection.take(over: OnLoop(handler.value))
    }

    /// Sends a message. Does not wait for it to arrive.
    /// - Throws: `limit` for more than 16 MiB, or when 64 MiB are waiting; `closed` or the reason after the end.
    public func send(_ message: [UInt8]) throws(WireError) {
        let peer = connection.peer
        guard message.count <= ControlHeader.messageLimit else {
            throw .limit("a control message of \(message.count) bytes; \(ControlHeader.messageLimit) are allowed")
        }
        let refusal = shared.flow.withLock { flow -> WireError? in
            switch flow.end {
            case .here: return .closed(peer: peer)
            case .goodbye(let text): return .complaint(peer: peer, text)
            case .failed(let error): return error
            case nil: break
            }
            guard flow.pending < Self.pendingLimit else { return .limit("\(flow.pending) bytes of control messages wait") }
            flow.pending += message.count
            return nil
        }
        if let refusal { throw refusal }
        var buffer = connection.channel.allocator.buffer(capacity: ControlHeader.byteCount + message.count)
        buffer.writeBytes(ControlHeader(kind: .message, length: message.count).encoded)
        buffer.writeBytes(message)
        let shared = shared
        connection.channel.writeAndFlush(buffer).whenComplete { _ in
            shared.flow.withLock { $0.pending -= message.count }
        }
    }

    /// Round trip and clock, as the pings found them so far.
    public var clock: ClockComparison { shared.clock.withLock { $0 } }

    /// Sends `count` pings one after the other and waits for their answers.
    /// - Returns: the comparison with what came until the deadline.
    public func compareClocks(pings count: Int = 8, within limit: Duration = .seconds(5)) -> ClockComparison {
        let deadline = MonotonicInstant.now + limit
        let handler = handler
        for _ in 0..<count {
            let answered = Mailbox<Void>()
            connection.channel.eventLoop.execute { handler.value.ping { answered.post(()) } }
            if answered.next(deadline: deadline) == nil { break }
        }
        return clock
    }

    /// Says goodbye and closes. Does not wait.
    /// - Parameter reason: for the peer's user, one line of up to 1 KiB.
    public func close(_ reason: String) {
        let handler = handler
        connection.channel.eventLoop.execute { handler.value.sayGoodbye(reason) }
    }
}
