import Glibc
import NIOCore

/// The inside of a `DataSender`, on its event loop: listens for the receiver's complaint and for the end, and sends
/// filler in pauses.
final class SenderHandler: ConnectionUser {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The congestion window shrinks after a retransmission timeout without traffic, which is 200 ms at least. 192 KiB each time cost
    /// 1.3 MB/s.
    private static let interval = TimeAmount.milliseconds(150)
    /// Until the window is open: it doubles with each round trip in which it was full.
    private static let firstInterval = TimeAmount.milliseconds(20)
    private static let idleInterval = TimeAmount.milliseconds(50)
    /// What is sent at once is what the window is open for: twice this, a small container's images in a flight or two (1.2 MB of a
    /// redis). More would stand in front of them on a link of 50 Mbit/s.
    private static let opening = 8 * frame
    /// Once it is open; it shrinks slowly.
    private static let keeping = 3 * frame
    private static let frame = 64 << 10

    private let connection: Connection
    private let flow: StreamFlow
    private var complaint = ByteBuffer()
    private var task: Scheduled<Void>?
    private var isOpen = false { didSet { if isOpen && !oldValue { flow.opened() } } }
    private lazy var zeros = ByteBuffer(repeating: 0, count: Self.frame)

    init(_ connection: Connection, _ flow: StreamFlow) {
        self.connection = connection
        self.flow = flow
    }

    func handlerAdded(context: ChannelHandlerContext) { schedule(context) }
    func handlerRemoved(context: ChannelHandlerContext) { task?.cancel() }

    private func schedule(_ context: ChannelHandlerContext) {
        task = context.eventLoop.assumeIsolated().scheduleTask(in: pause) {
            if self.flow.wantsFiller { self.look(context) } else { self.schedule(context) }
        }
    }

    private var pause: TimeAmount {
        if isOpen { return Self.interval }
        return flow.wantsFiller ? Self.firstInterval : Self.idleInterval
    }

    /// Asks the kernel for the window: filler must never stand in a queue in front of what comes next.
    private func look(_ context: ChannelHandlerContext) {
        guard let socket = context.channel as? any SocketOptionProvider else { return schedule(context) }
        socket.getTCPInfo().assumeIsolated().whenComplete { result in
            switch result {
            case .success(let tcp):
                let window = Int(tcp.tcpi_snd_cwnd) * Int(tcp.tcpi_snd_mss)
                self.isOpen = self.isOpen || window >= Self.opening
                if tcp.tcpi_unacked == 0 { self.fill(context, min(2 * window, self.isOpen ? Self.keeping : Self.opening)) }
            case .failure:
                // Not TCP: ssh's connection, of which nothing is known.
                self.isOpen = true
                self.fill(context, Self.frame)
            }
            self.schedule(context)
        }
    }

    private func fill(_ context: ChannelHandlerContext, _ bytes: Int) {
        var left = bytes
        guard flow.takeWarmTurn(bytes + (bytes + Self.frame - 1) / Self.frame * FrameHeader.byteCount) else { return }
        while left > 0 {
            let count = min(left, Self.frame)
            var buffer = context.channel.allocator.buffer(capacity: FrameHeader.byteCount + count)
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: FrameHeader.byteCount) { bytes in
                FrameHeader(kind: .warm, payloadLength: UInt32(count)).store(in: bytes)
                return FrameHeader.byteCount
            }
            buffer.writeImmutableBuffer(zeros.getSlice(at: 0, length: count) ?? ByteBuffer())
            context.write(wrapOutboundOut(buffer), promise: nil)
            left -= count
        }
        context.flush()
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
