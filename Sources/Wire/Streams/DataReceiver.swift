import Host
public import Model
import NIOCore
import Synchronization

/// The receiving end of a data stream: hands what comes to a `FrameSink`, on the connection's own thread.
public final class DataReceiver: Sendable {
    public let connection: Connection
    private let received = Atomic(0)

    /// Takes over a connection of role data.
    /// - Parameters:
    ///   - sink: gets the frames. While it blocks nothing is read.
    ///   - onClosed: called once, after the sink's last call: nil after an end frame, otherwise what went wrong.
    ///     The sender was told.
    public init(_ connection: Connection, sink: any FrameSink, onClosed: @escaping @Sendable (WireError?) -> Void) {
        self.connection = connection
        connection.take(over: OnLoop(ReceiverHandler(connection, sink, onClosed, self)))
    }

    /// Bytes of frames that came so far, filler included.
    public var bytesReceived: ByteCount { ByteCount(received.load(ordering: .relaxed)) }

    func count(_ bytes: Int) { received.add(bytes, ordering: .relaxed) }

    /// Closes the connection; `onClosed` tells of it if it has not yet.
    public func close() { connection.close() }
}

/// The inside of a `DataReceiver`, on its event loop.
final class ReceiverHandler: ConnectionUser {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How long a sender may go on sending after a complaint before it is cut off. Until then its bytes are thrown
    /// away: closing with unread bytes resets the connection, and the complaint would be lost.
    private static let patience = TimeAmount.seconds(2)

    private let connection: Connection
    private let sink: any FrameSink
    private let onClosed: @Sendable (WireError?) -> Void
    private weak var owner: DataReceiver?
    private var reader = FrameReader()
    private var told = false
    private var failed = false

    init(
        _ connection: Connection, _ sink: any FrameSink, _ onClosed: @escaping @Sendable (WireError?) -> Void,
        _ owner: DataReceiver
    ) {
        self.connection = connection
        self.sink = sink
        self.onClosed = onClosed
        self.owner = owner
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if failed { return }
        let buffer = unwrapInboundIn(data)
        owner?.count(buffer.readableBytes)
        do throws(FrameError) {
            try feed(buffer)
            if reader.hasEnded { tell(nil) }
        } catch {
            complain(context, error)
        }
    }

    private func feed(_ buffer: ByteBuffer) throws(FrameError) {
        let failure = buffer.withUnsafeReadableBytes { bytes -> FrameError? in
            do throws(FrameError) {
                try reader.feed(bytes, to: sink)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    private func complain(_ context: ChannelHandlerContext, _ error: FrameError) {
        failed = true
        let bytes = Complaint.encoded(error.description)
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: bytes)), promise: nil)
        _ = context.eventLoop.assumeIsolated().scheduleTask(in: Self.patience) { self.connection.close() }
        tell(.frame(peer: connection.peer, error))
    }

    private func tell(_ error: WireError?) {
        guard !told else { return }
        told = true
        onClosed(error)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        tell(connection.explain(error))
        connection.close()
    }

    func channelInactive(context: ChannelHandlerContext) {
        do throws(FrameError) {
            try reader.finish()
            tell(nil)
        } catch {
            tell(.lost(peer: connection.peer, why: error.description))
        }
    }

    func cameTooLate(_ error: WireError) { tell(error) }
}
