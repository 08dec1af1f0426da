import CLinux
public import Host
import NIOCore
import NIOPosix
import NIOSSL

/// A connection that both sides have agreed upon: TLS is up, certificates are checked, hellos are exchanged.
/// It runs on an event-loop thread of its own. Nothing is read from it until one of `ControlConnection`,
/// `DataSender`, `DataReceiver` or `ByteTunnel` takes it over. From then on it stays open until one of both sides
/// closes it, even if nobody refers to it any more.
public final class Connection: Sendable {
    /// HOST:PORT as dialled, or the address from which the peer came.
    public let peer: String
    public let preamble: Preamble
    /// How long it took from the first packet to the hellos.
    public let setUpTime: Duration

    let options: ConnectionOptions
    let channel: any Channel
    private let group: MultiThreadedEventLoopGroup
    private let greeter: OnLoop<Greeter>
    private let credentials: Credentials?

    /// Takes a connected socket through handshake and hellos.
    init(
        _ descriptor: consuming OwnedDescriptor, side: ConnectionSide, peer: String, preamble: Preamble,
        credentials: Credentials?, options: ConnectionOptions, started: MonotonicInstant
    ) throws(WireError) {
        Self.prepareHeap
        TCPSocket.tune(descriptor, options)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let ready = loop.makePromise(of: Void.self)
        let greeter = OnLoop(
            Greeter(
                side: side, preamble: preamble, peer: peer, credentials: credentials, ready: ready,
                limit: (started + options.connectTimeout).remaining, shownLimit: options.connectTimeout))
        let bootstrap = ClientBootstrap(group: group)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.readSize))
            // One read at a time: TLS hands over what it has decrypted after the last one, and 256 KiB stay in the cache.
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Self.addHandlers(channel, side, peer, credentials, greeter.value)
                }
            }
        var opened: (any Channel)?
        do {
            let channel = try bootstrap.withConnectedSocket(descriptor.release()).wait()
            opened = channel
            try ready.futureResult.wait()
            self.channel = channel
        } catch {
            ready.fail(error)
            Self.end(group, after: opened)
            throw translate(error, peer: peer, credentials: credentials, shown: nil, dialled: side.dialled)
        }
        (self.group, self.greeter, self.credentials) = (group, greeter, credentials)
        (self.peer, self.preamble, self.options) = (peer, preamble, options)
        setUpTime = started.elapsed
    }

    deinit { Self.end(group, after: channel) }

    /// Closes the channel and ends its thread, in the background and not before the peer has said goodbye to TLS or
    /// a few seconds have passed: the peer may still have to read why.
    private static func end(_ group: MultiThreadedEventLoopGroup, after channel: (any Channel)?) {
        guard let channel else { return group.shutdownGracefully { _ in } }
        channel.close(promise: nil)
        // Last: of a channel that is closed already this ends the thread at once, and whatever it is asked then is a complaint on stderr.
        channel.closeFuture.whenComplete { _ in group.shutdownGracefully { _ in } }
    }

    /// Bytes of one read. 256 KiB moved 1.7 GB/s under TLS; 64 KiB cost a third more system time.
    static let readSize = 256 << 10

    private static func addHandlers(
        _ channel: any Channel, _ side: ConnectionSide, _ peer: String, _ credentials: Credentials?, _ greeter: Greeter
    ) throws {
        let pipeline = channel.pipeline.syncOperations
        if let credentials {
            if side == .accepting {
                try pipeline.addHandler(NIOSSLServerHandler(context: credentials.server))
            } else {
                try pipeline.addHandler(RefusalSniffer(peer: peer))
                try pipeline.addHandler(try NIOSSLClientHandler(context: credentials.client, serverHostname: nil))
            }
        }
        try pipeline.addHandler(greeter)
    }

    /// Puts the connection's user behind TLS and lets the bytes flow.
    func take(over handler: OnLoop<any ConnectionUser>) {
        let channel = channel
        let greeter = greeter
        channel.eventLoop.execute {
            let pipeline = channel.pipeline.syncOperations
            guard let context = try? pipeline.context(handler: greeter.value),
                (try? pipeline.addHandler(handler.value, position: .after(greeter.value))) != nil
            else {
                return handler.value.cameTooLate(self.explain(greeter.value.lateError ?? ChannelError.eof))
            }
            greeter.value.handOver(context)
            try? channel.syncOptions?.setOption(.autoRead, value: true)
        }
    }

    /// Of the connection's thread, from now on.
    public func setPriority(_ priority: Host.Thread.Priority) {
        channel.eventLoop.execute { Host.Thread.apply(priority) }
    }

    /// Gives an error of the transport the form of this room.
    func explain(_ error: any Error) -> WireError {
        translate(error, peer: peer, credentials: credentials, shown: nil, dialled: nil)
    }

    /// Says goodbye to the peer's TLS and closes. Does not wait; safe on every thread and more than once.
    public func close() { channel.close(promise: nil) }

    /// Sends bytes as they are: what tests need to play a peer that breaks the protocol.
    func sendRaw(_ bytes: [UInt8]) { channel.writeAndFlush(channel.allocator.buffer(bytes: bytes), promise: nil) }

    /// Waits until the connection is closed on this side.
    public func waitUntilClosed() { try? channel.closeFuture.wait() }

    /// Buffers of a data stream are 256 KiB; without this each is mapped and unmapped (.82 instead of .34 CPU
    /// seconds per GB). 32 MiB is the most that mallopt takes.
    private static let prepareHeap: Void = linux_keep_freed_buffers(32 << 20, 64 << 20)
}

/// What takes over a connection. Called on its event loop only.
protocol ConnectionUser: ChannelInboundHandler {
    /// The connection was gone before it could be taken over.
    func cameTooLate(_ error: WireError)
}

/// Carries something that belongs to an event loop across threads.
final class OnLoop<Value>: @unchecked Sendable {
    // SAFETY: only the event loop's thread touches the value after its making.
    let value: Value
    init(_ value: Value) { self.value = value }
}
