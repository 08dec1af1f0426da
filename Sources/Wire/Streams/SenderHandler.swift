import NIOCore

/// The inside of a `DataSender`, on its event loop: listens for the receiver's complaint and for the end, and sends
/// filler in pauses.
final class SenderHandler: ConnectionUser {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// 64 KiB every 50 ms kept a 30 MB burst at 32 ms after an idle second, against 34 cold and 43 fresh (1 ms
    /// round trip), and at 109 against 132 and 193 (10 ms). It costs 1.3 MB/s.
    private static let interval = TimeAmount.milliseconds(50)
    private static let payload = 64 << 10

    private let connection: Connection
    private let flow: StreamFlow
    private var complaint = ByteBuffer()
    private var task: Scheduled<Void>?
    private lazy var filler: ByteBuffer = {
        var buffer = ByteBufferAllocator().buffer(capacity: FrameHeader.byteCount + Self.payload)
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: FrameHeader.byteCount) { bytes in
            FrameHeader(kind: .warm, payloadLength: UInt32(Self.payload)).store(in: bytes)
            return FrameHeader.byteCount
        }
        buffer.writeRepeatingByte(0, count: Self.payload)
        return buffer
    }()

    init(_ connection: Connection, _ flow: StreamFlow) {
        self.connection = connection
        self.flow = flow
    }

    func handlerAdded(context: ChannelHandlerContext) { schedule(context) }
    func handlerRemoved(context: ChannelHandlerContext) { task?.cancel() }

    private func schedule(_ context: ChannelHandlerContext) {
        task = context.eventLoop.assumeIsolated().scheduleTask(in: Self.interval) {
            if self.flow.takeWarmTurn(self.filler.readableBytes) {
                context.writeAndFlush(self.wrapOutboundOut(self.filler), promise: nil)
            }
            self.schedule(context)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        complaint.writeBuffer(&buffer)
        guard let length = complaint.getInteger(at: complaint.readerIndex, endianness: .little, as: UInt32.self) else { return }
        guard length <= Complaint.limit else {
            flow.end(
                .protocolViolation(
                    peer: connection.peer, "a complaint of \(length) bytes came, \(Complaint.limit) at most were due"))
            return connection.close()
        }
        guard let text = complaint.getBytes(at: complaint.readerIndex + 4, length: Int(length)) else { return }
        flow.end(.complaint(peer: connection.peer, ControlHandler.printable(text)))
        connection.close()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        flow.end(connection.explain(error))
        connection.close()
    }

    func channelInactive(context: ChannelHandlerContext) {
        flow.end(.lost(peer: connection.peer, why: "the other side closed it"))
    }

    func cameTooLate(_ error: WireError) { flow.end(error) }
}

/// Why a receiver gives up, sent against the stream's direction: four bytes of length, little-endian, and UTF-8.
enum Complaint {
    static let limit = 1024

    static func encoded(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8.prefix(limit))
        return (0..<4).map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) } + bytes
    }
}
