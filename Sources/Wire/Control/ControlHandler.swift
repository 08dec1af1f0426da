import Host
import NIOCore
import Synchronization

/// The inside of a `ControlConnection`, on its event loop.
final class ControlHandler: ConnectionUser {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let connection: Connection
    private let interval: Duration
    private let shared: ControlConnection.Shared
    private let onMessage: @Sendable ([UInt8]) -> Void
    private let onClosed: @Sendable (ControlEnd) -> Void
    /// Pings that may go unanswered.
    private static let patientTicks = 3
    /// What was sent before a goodbye gets this long to leave.
    private static let goodbyePatience = TimeAmount.seconds(5)

    private var context: ChannelHandlerContext?
    private var buffer = ByteBuffer()
    private var header: ControlHeader?
    private var heard = MonotonicInstant.now
    /// Own ticks since something came. Not the time since then: if this very process was held up, the answers wait in
    /// its socket, and one tick leaves it the time to read them.
    private var silentTicks = 0
    private var clockTask: Scheduled<Void>?
    private var waiting: [() -> Void] = []
    private var ended = false

    init(
        _ connection: Connection, interval: Duration, shared: ControlConnection.Shared,
        onMessage: @escaping @Sendable ([UInt8]) -> Void, onClosed: @escaping @Sendable (ControlEnd) -> Void
    ) {
        self.connection = connection
        self.interval = interval
        self.shared = shared
        self.onMessage = onMessage
        self.onClosed = onClosed
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        heard = .now
        ping()
        schedule(context)
    }

    private func schedule(_ context: ChannelHandlerContext) {
        let delay = TimeAmount.nanoseconds(max(interval.wholeNanoseconds, 1_000_000))
        clockTask = context.eventLoop.assumeIsolated().scheduleTask(in: delay) { self.tick() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        clockTask?.cancel()
        self.context = nil
    }

    private func tick() {
        silentTicks += 1
        if silentTicks > Self.patientTicks {
            end(.failed(.silent(peer: connection.peer, seconds: heard.elapsed.inSeconds)))
        } else if let context {
            ping()
            schedule(context)
        }
    }

    /// - Parameter answered: called when any later pong comes.
    func ping(_ answered: (() -> Void)? = nil) {
        guard context != nil else { return }
        if let answered { waiting.append(answered) }
        write(.ping, [MonotonicInstant.now.nanoseconds])
    }

    private func write(_ kind: ControlHeader.Kind, _ times: [Int64]) {
        guard let context else { return }
        var out = context.channel.allocator.buffer(capacity: 32)
        out.writeBytes(ControlHeader(kind: kind, length: times.count * 8).encoded)
        for time in times { out.writeInteger(time, endianness: .little) }
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
    }

    /// Tells the peer why, and closes when that and everything before it has left, or after a while.
    func sayGoodbye(_ words: String, ending reason: ControlEnd = .here) {
        guard let context, !ended else { return }
        let text = Array(words.utf8.prefix(ControlHeader.goodbyeLimit))
        var out = context.channel.allocator.buffer(capacity: ControlHeader.byteCount + text.count)
        out.writeBytes(ControlHeader(kind: .goodbye, length: text.count).encoded)
        out.writeBytes(text)
        let written = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(wrapOutboundOut(out), promise: written)
        end(reason, after: written.futureResult, context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !ended else { return }
        heard = .now
        silentTicks = 0
        var new = unwrapInboundIn(data)
        if buffer.readableBytes == 0 { buffer = new } else { buffer.writeBuffer(&new) }
        do {
            while try takeOne() {}
        } catch {
            let violation = error.description
            sayGoodbye(
                "protocol violation: \(violation)", ending: .failed(.protocolViolation(peer: connection.peer, violation)))
        }
        if buffer.readableBytes == 0 {
            buffer = ByteBuffer()
        } else if buffer.readerIndex > 1 << 20 {
            buffer.discardReadBytes()  // what was read must not pile up while messages overlap reads
        }
    }

    /// Handles the next frame, if it is there whole.
    private func takeOne() throws(ControlError) -> Bool {
        if ended { return false }
        if header == nil {
            guard buffer.readableBytes >= ControlHeader.byteCount,
                let length = buffer.readInteger(endianness: .little, as: UInt32.self),
                let rest = buffer.readInteger(endianness: .little, as: UInt32.self)
            else { return false }
            header = try ControlHeader(length: length, rest: rest)
        }
        guard let current = header, buffer.readableBytes >= current.length else { return false }
        header = nil
        switch current.kind {
        case .message: onMessage(buffer.readBytes(length: current.length) ?? [])
        case .ping: answerPing()
        case .pong: takePong()
        case .goodbye: end(.goodbye(Self.printable(buffer.readBytes(length: current.length) ?? [])))
        }
        return true
    }

    private func answerPing() {
        guard let sent = buffer.readInteger(endianness: .little, as: Int64.self) else { return }
        let now = MonotonicInstant.now.nanoseconds
        write(.pong, [sent, now, now])
    }

    private func takePong() {
        let times = (0..<3).compactMap { _ in buffer.readInteger(endianness: .little, as: Int64.self) }
        let back = MonotonicInstant.now.nanoseconds
        shared.clock.withLock { $0.add(sent: times[0], received: times[1], answered: times[2], back: back) }
        let callbacks = waiting
        waiting = []
        for callback in callbacks { callback() }
    }

    /// Goodbyes go to a terminal: control characters don't pass.
    static func printable(_ bytes: [UInt8]) -> String {
        String(
            String(decoding: bytes, as: UTF8.self).unicodeScalars.map {
                $0.value < 0x20 || $0.value == 0x7f ? " " : Character($0)
            })
    }

    private func end(_ reason: ControlEnd, after written: EventLoopFuture<Void>, _ context: ChannelHandlerContext) {
        let fallback = context.eventLoop.assumeIsolated().scheduleTask(in: Self.goodbyePatience) { self.connection.close() }
        written.whenComplete { [connection] _ in
            fallback.cancel()
            connection.close()
        }
        end(reason, closing: false)
    }

    private func end(_ reason: ControlEnd, closing: Bool = true) {
        guard !ended else { return }
        ended = true
        clockTask?.cancel()
        shared.flow.withLock { $0.end = reason }
        let callbacks = waiting
        waiting = []
        for callback in callbacks { callback() }
        if closing { connection.close() }
        onClosed(reason)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(.failed(connection.explain(error)))
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(.failed(.lost(peer: connection.peer, why: "the other side closed it without a goodbye")))
    }

    func cameTooLate(_ error: WireError) { end(.failed(error)) }
}
