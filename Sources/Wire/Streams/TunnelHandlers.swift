import Host
import NIOCore
import Synchronization

/// What the two ends of a tunnel share, on the connection's event loop.
final class TunnelHub {
    static let pieceLimit = 256 << 10
    static let endMark: UInt32 = 0
    static let goneMark = UInt32.max

    let connection: Connection
    let sent = Atomic(0)
    let received = Atomic(0)
    var local: ChannelHandlerContext?
    var wire: ChannelHandlerContext?
    /// Came before the connection was open; at most what the kernel held.
    private var early: [ByteBuffer] = []
    /// Reads that wait until the other end can take more.
    var localWaits = false
    var wireWaits = false
    private var outboundEnded = false
    private var inboundEnded = false
    /// The end was not only seen: everything before it has left this process.
    private var outboundDelivered = false
    private var inboundDelivered = false
    /// The local program is gone; told as soon as the connection is open.
    private var goneWhy: String?
    private var onClosed: (@Sendable (TunnelEnd) -> Void)?
    private let limit: BandwidthLimit?
    /// Nothing more is read from the local program for so long.
    private var pause = Duration.zero

    init(_ connection: Connection, _ limit: BandwidthLimit?, _ onClosed: @escaping @Sendable (TunnelEnd) -> Void) {
        self.connection = connection
        self.limit = limit
        self.onClosed = onClosed
    }

    var isInboundOver: Bool { inboundEnded }
    var isOver: Bool { onClosed == nil }
    /// The peer may close from now on: both sides have said all.
    var mayBeClosed: Bool { inboundEnded && outboundEnded }

    /// The local program closed its output.
    func localEnded() {
        guard !outboundEnded, !isOver else { return }
        outboundEnded = true
        if wire != nil { sendEnd() }
    }

    /// Sends bytes of the local program. At its end of file they come even before the connection is open.
    func send(_ bytes: ByteBuffer) {
        guard let wire else { return early.append(bytes) }
        var bytes = bytes
        sent.add(bytes.readableBytes, ordering: .relaxed)
        if let limit { pause = limit.claim(bytes.readableBytes) }
        while let piece = bytes.readSlice(length: min(bytes.readableBytes, Self.pieceLimit)), piece.readableBytes > 0 {
            var header = wire.channel.allocator.buffer(capacity: 4)
            header.writeInteger(UInt32(piece.readableBytes), endianness: .little)
            wire.write(NIOAny(header), promise: nil)
            wire.write(NIOAny(piece), promise: nil)
        }
    }

    func takePause() -> Duration {
        defer { pause = .zero }
        return pause
    }

    /// The connection was taken over: what came before is sent now.
    func wireOpened() {
        for bytes in early { send(bytes) }
        early = []
        wire?.flush()
        if let goneWhy { sendGone(goneWhy) } else if outboundEnded { sendEnd() }
    }

    private func sendEnd() {
        writeMark(Self.endMark)?.assumeIsolated().whenComplete { _ in
            self.outboundDelivered = true
            self.finishIfBothEnded()
        }
    }

    /// The peer's direction came to its end: the local program gets an end of file after the last byte.
    func wireEnded() {
        inboundEnded = true
        guard let local else { return fail(.system(operation: "the local end of the file stream", why: "it closed early")) }
        let written = local.eventLoop.makePromise(of: Void.self)
        local.writeAndFlush(NIOAny(local.channel.allocator.buffer(capacity: 0)), promise: written)
        written.futureResult.assumeIsolated().whenComplete { result in
            if case .failure(let error) = result { return self.localGone("\(error)") }
            self.inboundDelivered = true
            self.local?.close(mode: .output, promise: nil)
            self.finishIfBothEnded()
        }
    }

    @discardableResult
    func writeMark(_ mark: UInt32) -> EventLoopFuture<Void>? {
        guard let wire else { return nil }
        var out = wire.channel.allocator.buffer(capacity: 4)
        out.writeInteger(mark, endianness: .little)
        let written = wire.eventLoop.makePromise(of: Void.self)
        wire.writeAndFlush(NIOAny(out), promise: written)
        return written.futureResult
    }

    /// The local program is gone although the peer has more for it.
    func localGone(_ why: String) {
        guard !isOver, goneWhy == nil else { return }
        goneWhy = why
        if wire != nil { sendGone(why) }
    }

    private func sendGone(_ why: String) {
        writeMark(Self.goneMark)?.assumeIsolated().whenComplete { _ in
            self.fail(.system(operation: "the local end of the file stream", why: why))
        }
    }

    func fail(_ error: WireError) { end(.failed(error)) }

    private func finishIfBothEnded() {
        if outboundDelivered && inboundDelivered { end(.finished) }
    }

    private func end(_ reason: TunnelEnd) {
        guard let tell = onClosed else { return }
        onClosed = nil
        local?.close(promise: nil)
        connection.close()
        tell(reason)
    }
}

/// The side of the local program.
final class TunnelLocalHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let hub: TunnelHub
    init(_ hub: TunnelHub) { self.hub = hub }

    func handlerAdded(context: ChannelHandlerContext) { hub.local = context }
    func handlerRemoved(context: ChannelHandlerContext) { hub.local = nil }

    func read(context: ChannelHandlerContext) {
        let pause = hub.takePause()
        if pause > .zero { return later(context, pause) }
        if let wire = hub.wire, wire.channel.isWritable { context.read() } else { hub.localWaits = true }
    }

    private func later(_ context: ChannelHandlerContext, _ pause: Duration) {
        context.eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(pause.wholeNanoseconds)) {
            if !self.hub.isOver { self.read(context: context) }
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        hub.send(unwrapInboundIn(data))
    }

    func channelReadComplete(context: ChannelHandlerContext) { hub.wire?.flush() }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, hub.wireWaits {
            hub.wireWaits = false
            hub.wire?.read()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent { hub.localEnded() }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { hub.localGone("\(error)") }

    func channelInactive(context: ChannelHandlerContext) {
        if !hub.isInboundOver { return hub.localGone("it closed while more came for it") }
        hub.localEnded()
    }
}

/// The side of the connection.
final class TunnelWireHandler: ConnectionUser, ChannelOutboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let hub: TunnelHub
    private var header = ByteBuffer()
    private var left = 0

    init(_ hub: TunnelHub) { self.hub = hub }

    func handlerAdded(context: ChannelHandlerContext) {
        hub.wire = context
        hub.wireOpened()
        resumeLocal()
    }
    func handlerRemoved(context: ChannelHandlerContext) { hub.wire = nil }

    func read(context: ChannelHandlerContext) {
        if let local = hub.local, !local.channel.isWritable { hub.wireWaits = true } else { context.read() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { resumeLocal() }
    }

    private func resumeLocal() {
        guard hub.localWaits else { return }
        hub.localWaits = false
        hub.local?.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        while buffer.readableBytes > 0, !hub.isOver {
            if left > 0 {
                guard let piece = buffer.readSlice(length: min(left, buffer.readableBytes)) else { return }
                left -= piece.readableBytes
                hub.received.add(piece.readableBytes, ordering: .relaxed)
                hub.local?.write(NIOAny(piece), promise: nil)
            } else if var part = buffer.readSlice(length: min(4 - header.readableBytes, buffer.readableBytes)) {
                header.writeBuffer(&part)
                if let length = header.readInteger(endianness: .little, as: UInt32.self) { begin(length) }
            }
        }
        hub.local?.flush()
    }

    private func begin(_ length: UInt32) {
        header.clear()
        let peer = hub.connection.peer
        switch length {
        case TunnelHub.goneMark: hub.fail(.complaint(peer: peer, "its end of the file stream is gone"))
        case _ where hub.isInboundOver: hub.fail(.protocolViolation(peer: peer, "bytes came on the file stream after its end"))
        case TunnelHub.endMark: hub.wireEnded()
        case 1...UInt32(TunnelHub.pieceLimit): left = Int(length)
        default:
            hub.fail(
                .protocolViolation(
                    peer: peer, "a piece of \(length) bytes came on the file stream, 1 to \(TunnelHub.pieceLimit) were due"))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if !hub.mayBeClosed { hub.fail(hub.connection.explain(error)) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !hub.mayBeClosed {
            hub.fail(.lost(peer: hub.connection.peer, why: "the other side closed it before the end of the file stream"))
        }
    }

    func cameTooLate(_ error: WireError) { hub.fail(error) }
}
