public import Host
import Synchronization

/// The source's side: takes the container off the network and, after a rollback, back on.
///
/// All sockets and messages are made by `init`; `cut` is one netlink message an interface, 0.1 ms. Where connections are kept,
/// `hold` begins before the freeze to listen to what comes for the container, and to keep newcomers from it; whatever came
/// meanwhile is `handOn`-ed to the destination, and given to the container here after a rollback. So nobody has to repeat
/// anything, which would take 200 ms and more (docs/network.md).
public final class NetworkCut: Sendable {
    private let ports: [BridgePort]
    private let announcers: [Announcer]
    private let holding: Holding?
    private let capture = Mutex<FrameCapture?>(nil)
    private let isHolding = Mutex(false)
    /// Whether the ports were closed: until then all but newcomers reaches the container.
    private let isCut = Mutex(false)
    /// Whether its sockets ran empty while newcomers were held back.
    private let ranEmpty = Mutex(false)

    /// What keeping connections takes.
    private struct Holding: Sendable {
        var interfaces: [(number: Int, bridge: String, mac: MACAddress)]
        var hold: NewcomerHold
        var queues: SocketQueues
        var injectors: [Int: FrameInjector] = [:]

        init(_ description: NetworkDescription, _ path: String) throws(SystemError) {
            interfaces = []
            for (number, interface) in description.interfaces.enumerated() where interface.isSupported {
                guard let bridge = interface.bridge, let mac = MACAddress(interface.mac) else { continue }
                interfaces.append((number, bridge, mac))
                injectors[number] = try FrameInjector(hostName: interface.hostName ?? "", mac: mac)
            }
            let all = description.interfaces
            hold = NewcomerHold(path: path, interfaces: interfaces.map { ($0.number, all[$0.number].name) })
            queues = try SocketQueues(namespace: path)
        }
    }

    /// How often datagrams are counted at least: once in a millisecond, so that those on their way when it began are no more.
    private static let leastLooks = 6
    /// Longest wait for the container to fetch what waits at its sockets.
    private static let patience = Duration.milliseconds(300)

    /// - Parameters:
    ///   - description: gathered on this host. A namespace that isn't `named` has nothing to cut.
    ///   - keepsConnections: whether clients shall find their connections again.
    public init(_ description: NetworkDescription, keepsConnections: Bool) throws(SystemError) {
        guard description.kind == .named, let path = description.path else {
            (ports, announcers, holding) = ([], [], nil)
            return
        }
        ports = try description.interfaces.filter(\.isSupported).map { interface throws(SystemError) in
            try BridgePort(interface: interface.hostName ?? "")
        }
        announcers = try NetworkNamespace(path: path).run { () throws(SystemError) in
            try Announcer.all(of: description)
        }
        holding = try keepsConnections ? Holding(description, path) : nil
    }

    /// Before the freeze, 10 to 30 ms: listens, holds newcomers back, and waits until the container has fetched what waits.
    /// - Returns: what it left waiting.
    public func hold() throws -> WaitingInput {
        guard let holding else { return WaitingInput() }
        let capture = try FrameCapture(holding.interfaces)
        self.capture.withLock { $0 = capture }
        guard NewcomerHold.isPossible else { return WaitingInput() }
        capture.forgetAll()
        try holding.hold.begin()
        isHolding.withLock { $0 = true }
        let left = try waitForEmptyQueues(holding, capture)
        ranEmpty.withLock { $0 = left.isEmpty }
        return left
    }

    private func waitForEmptyQueues(_ holding: Holding, _ capture: FrameCapture) throws(SystemError) -> WaitingInput {
        let deadline = MonotonicInstant.now + Self.patience
        var looks = 0
        while true {
            let waiting = try holding.queues.waiting(handshakes: true)
            let dropped = holding.hold.dropped()
            capture.take(dropped: dropped)
            looks += 1
            let knows = dropped == nil || !capture.hasDatagrams || looks >= Self.leastLooks
            if (waiting.isEmpty && knows) || .now > deadline { return waiting }
            sleepThread(.milliseconds(1))
        }
    }

    /// Frozen: whether nothing came to wait between the last look and the freeze, which would be lost. True as well for a
    /// container that didn't fetch what waited before: another try would end no better.
    public func isEmpty() throws(SystemError) -> Bool {
        guard let holding, ranEmpty.withLock({ $0 }) else { return true }
        return try holding.queues.waiting(handshakes: false).isEmpty
    }

    /// Closes the ports: no frame of the container leaves any more and none arrives. Right behind the freeze: an answer that it
    /// gave while it ran still goes out, or it would be repeated only after a second.
    public func cut() throws(SystemError) {
        // Nothing but newcomers is kept from it before the port closes, and they only if they could be.
        if isHolding.withLock({ $0 }) { capture.withLock { $0 }?.keepNewcomers() } else { capture.withLock { $0 }?.forgetAll() }
        isCut.withLock { $0 = true }
        for port in ports { try port.set(.closed) }
    }

    /// Hands on what came since, and what comes, until `release` or `uncut`. Blocks.
    public func handOn(_ send: ([CapturedFrame]) throws -> Void) rethrows {
        try capture.withLock { $0 }?.handOn(send)
    }

    /// Opens the ports again and announces the addresses, should the destination have drawn them over already; then the container
    /// gets what came for it meanwhile.
    public func uncut() throws(SystemError) {
        let capture = capture.withLock { capture in
            defer { capture = nil }
            return capture
        }
        capture?.end()
        let wasCut = isCut.withLock { $0 }
        if !wasCut { takeNewcomers(capture) }
        holding?.hold.end()  // before newcomers are given
        for port in ports { try port.set(.open) }
        for frame in (wasCut ? capture?.all() : capture?.soFar) ?? [] { holding?.injectors[frame.interface]?.give(frame) }
        for announcer in announcers { try announcer.announce() }
    }

    /// Only newcomers were kept from the container, and not for long.
    private func takeNewcomers(_ capture: FrameCapture?) {
        guard let capture, let holding, isHolding.withLock({ $0 }) else { return }
        holding.hold.lift()
        capture.keepNewcomers(dropped: holding.hold.dropped())
    }

    /// The container runs elsewhere: nothing is kept any more. Closing the sockets takes up to 31 ms.
    public func release() {
        capture.withLock { capture in
            capture?.end()
            capture = nil
        }
    }
}

extension Announcer {
    /// One for each Ethernet interface that is up and has addresses; in the calling thread's namespace.
    static func all(of description: NetworkDescription) throws(SystemError) -> [Announcer] {
        var all: [Announcer] = []
        for interface in description.interfaces where interface.isSupported && interface.up && !interface.addresses.isEmpty {
            guard let mac = MACAddress(interface.mac) else { continue }
            all.append(try Announcer(interface: interface.name, mac: mac, addresses: interface.addresses.map(\.text)))
        }
        return all
    }
}
