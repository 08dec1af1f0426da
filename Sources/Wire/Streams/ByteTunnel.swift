public import Host
public import Model
import NIOCore
import NIOPosix
import Synchronization

/// How a tunnel ended.
public enum TunnelEnd: Error, Equatable, Sendable {
    /// Both directions came to their ends.
    case finished
    case failed(WireError)
}

/// Raw bytes between a connection of role files and a local program (rsync's standard input and output), in both
/// directions, each with its own end. Whatever side is slow holds the other one back.
///
/// On the connection each piece is preceded by its length, four bytes little-endian, 1 to 256 KiB; 0 is the end of
/// the direction and 2^32 - 1 says that the local program is gone. So an end is told from a connection that broke.
public final class ByteTunnel: Sendable {
    public let connection: Connection
    private let hub: OnLoop<TunnelHub>
    private let group: MultiThreadedEventLoopGroup?

    /// Joins the connection with a local stream socket, such as one end of a socket pair.
    /// - Parameters:
    ///   - limit: what the user allows for all streams together; of this direction only.
    ///   - onClosed: called once, on the connection's thread, after everything was delivered.
    public convenience init(
        _ connection: Connection, socket: consuming OwnedDescriptor, limit: BandwidthLimit? = nil,
        onClosed: @escaping @Sendable (TunnelEnd) -> Void
    ) {
        let raw = socket.release()
        self.init(connection, limit, onClosed) { loop, initializer in
            ClientBootstrap(group: loop).channelOption(.allowRemoteHalfClosure, value: true)
                .channelInitializer(initializer).withConnectedSocket(raw)
        }
    }

    /// Joins the connection with two pipes: `input` is what the local program writes, `output` what it reads.
    public convenience init(
        _ connection: Connection, input: consuming OwnedDescriptor, output: consuming OwnedDescriptor,
        onClosed: @escaping @Sendable (TunnelEnd) -> Void
    ) {
        let (rawInput, rawOutput) = (input.release(), output.release())
        self.init(connection, nil, onClosed) { loop, initializer in
            NIOPipeBootstrap(group: loop).channelOption(.allowRemoteHalfClosure, value: true)
                .channelInitializer(initializer).takingOwnershipOfDescriptors(input: rawInput, output: rawOutput)
        }
    }

    private init(
        _ connection: Connection, _ limit: BandwidthLimit?, _ onClosed: @escaping @Sendable (TunnelEnd) -> Void,
        open: (any EventLoop, @escaping @Sendable (any Channel) -> EventLoopFuture<Void>) -> EventLoopFuture<any Channel>
    ) {
        self.connection = connection
        group = nil
        let loop = connection.channel.eventLoop
        let hub = OnLoop(TunnelHub(connection, limit, onClosed))
        self.hub = hub
        let opened = open(loop) { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(TunnelLocalHandler(hub.value))
            }
        }
        opened.whenComplete { result in
            switch result {
            case .success:
                connection.take(over: OnLoop(TunnelWireHandler(hub.value)))
            case .failure(let error):
                hub.value.fail(.system(operation: "joining a local stream", why: "\(error)"))
            }
        }
    }

    /// Bytes from the local program to the peer so far.
    public var bytesSent: ByteCount { ByteCount(hub.value.sent.load(ordering: .relaxed)) }
    /// Bytes from the peer to the local program so far.
    public var bytesReceived: ByteCount { ByteCount(hub.value.received.load(ordering: .relaxed)) }

    /// Breaks the tunnel off; the peer sees a lost connection.
    public func close() {
        let (hub, peer) = (hub, connection.peer)
        connection.channel.eventLoop.execute { hub.value.fail(.closed(peer: peer)) }
    }
}
