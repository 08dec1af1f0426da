import NIOCore

/// Stands before TLS on the dialling side: an agent that refuses a preamble answers in plain text.
/// A TLS record starts with 22 or 21 (RFC 8446 5.1), a refusal with `M`.
final class RefusalSniffer: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let peer: String
    private var collected: ByteBuffer?

    init(peer: String) { self.peer = peer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        guard collected != nil || buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) == Refusal.magic[0] else {
            context.fireChannelRead(wrapInboundOut(buffer))
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
            return
        }
        if collected?.writeBuffer(&buffer) == nil { collected = buffer }
        guard let bytes = collected?.getBytes(at: collected?.readerIndex ?? 0, length: Preamble.byteCount) else { return }
        let refusal = Refusal(decoding: bytes)
        context.fireErrorCaught(
            refusal.map { WireError.refused(peer: peer, $0) }
                ?? WireError.preamble(peer: peer, .notMartlet(came: Array(bytes.prefix(8)))))
        context.close(promise: nil)
    }
}
