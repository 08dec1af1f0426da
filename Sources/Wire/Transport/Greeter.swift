import Host
import NIOCore
import NIOSSL
import NIOTLS

/// Which end of a connection this is.
enum ConnectionSide: Equatable, Sendable {
    /// - Parameter host: the name or address that the peer's certificate has to bear.
    case dialling(host: String)
    case accepting

    var dialled: String? { if case .dialling(let host) = self { host } else { nil } }
}

/// Leads a connection from its TLS handshake to the exchanged hellos, then holds what comes until the connection's
/// user takes over. In TLS 1.3 the dialling side's handshake is complete before the accepting side has looked at its
/// certificate: only the accepting side's hello says that it was accepted. So that side speaks first.
final class Greeter: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        case handshake
        /// Waiting for the peer's 32 bytes.
        case hello
        case done
        case failed
    }

    private let side: ConnectionSide
    private let preamble: Preamble
    private let peer: String
    private let credentials: Credentials?
    private let ready: EventLoopPromise<Void>
    private var state = State.handshake
    private var held: ByteBuffer?
    private(set) var lateError: (any Error)?
    private var timeout: Scheduled<Void>?

    private let limit: Duration
    private let shownLimit: Duration

    /// - Parameters:
    ///   - limit: time left for handshake and hellos.
    ///   - shownLimit: the limit that a message names: the whole time that the user allowed.
    init(
        side: ConnectionSide, preamble: Preamble, peer: String, credentials: Credentials?, ready: EventLoopPromise<Void>,
        limit: Duration, shownLimit: Duration
    ) {
        self.limit = limit
        self.shownLimit = shownLimit
        self.side = side
        self.preamble = preamble
        self.peer = peer
        self.credentials = credentials
        self.ready = ready
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let left = TimeAmount.nanoseconds(limit.wholeNanoseconds)
        timeout = context.eventLoop.assumeIsolated().scheduleTask(in: left) {
            let stage: ConnectStage = if case .handshake = self.state { .handshake } else { .hello }
            self.fail(context, .timedOut(peer: self.peer, stage: stage, seconds: self.shownLimit.inSeconds))
        }
    }

    func channelActive(context: ChannelHandlerContext) {
        if credentials == nil { handshakeDone(context) }
        context.fireChannelActive()
    }

    /// Lets everything pass to the handlers behind, first what was held back.
    func handOver(_ context: ChannelHandlerContext) {
        if let held { context.fireChannelRead(wrapInboundOut(held)) }
        held = nil
        if let lateError { context.fireErrorCaught(lateError) }
        if !context.channel.isActive { context.fireChannelInactive() }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent {
            handshakeDone(context)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    private func handshakeDone(_ context: ChannelHandlerContext) {
        guard case .handshake = state else { return }
        if let refusal = judgePeer(context) { return refuse(context, refusal.answer, refusal.error) }
        state = .hello
        if side == .accepting { write(context, preamble.encoded) }
    }

    /// Checks what the library does not: the certificate's usage and, when dialling, its name.
    private func judgePeer(_ context: ChannelHandlerContext) -> (answer: Refusal, error: WireError)? {
        guard let credentials else { return nil }
        let shown = (try? context.pipeline.syncOperations.nioSSL_peerCertificate()) ?? nil
        let certificate = shown.flatMap { x509($0) }
        let problem =
            certificate.map { judge($0, authority: credentials.authority, dialled: side.dialled) } ?? CertificateProblem.missing
        guard let problem else { return nil }
        let reason: Refusal.Reason = if case .wrongName = problem { .wrongName } else { .wrongUsage }
        return (Refusal(reason), .tls(peer: peer, .theirs(problem)))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        if case .failed = state { return }
        if held?.writeBuffer(&buffer) == nil { held = buffer }
        guard case .hello = state, let bytes = held?.readBytes(length: Preamble.byteCount) else { return }
        if held?.readableBytes == 0 { held = nil }
        greet(context, bytes)
    }

    private func greet(_ context: ChannelHandlerContext, _ bytes: [UInt8]) {
        if let refusal = Refusal(decoding: bytes) { return fail(context, .refused(peer: peer, refusal)) }
        do {
            guard try Preamble(decoding: bytes) == preamble else {
                return refuse(context, Refusal(.altered), .altered(peer: peer))
            }
        } catch {
            return refuse(context, error.refusal, .preamble(peer: peer, error))
        }
        state = .done
        timeout?.cancel()
        // Nobody takes data yet: leave it in the kernel.
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        if side != .accepting { write(context, preamble.encoded) }
        ready.succeed()
    }

    private func write(_ context: ChannelHandlerContext, _ bytes: [UInt8]) {
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: bytes)), promise: nil)
    }

    private func refuse(_ context: ChannelHandlerContext, _ answer: Refusal, _ error: WireError) {
        write(context, answer.encoded)
        fail(context, error)
    }

    private func fail(_ context: ChannelHandlerContext, _ error: WireError) {
        if case .failed = state { return }
        state = .failed
        timeout?.cancel()
        ready.fail(error)
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case .done = state {
            lateError = lateError ?? error
            return
        }
        let shown = (try? context.pipeline.syncOperations.nioSSL_peerCertificate()) ?? nil
        fail(context, translate(error, peer: peer, credentials: credentials, shown: shown, dialled: side.dialled))
    }

    func channelInactive(context: ChannelHandlerContext) {
        guard case .done = state else {
            return fail(context, .lost(peer: peer, why: "the other side closed it before its hello"))
        }
    }
}
