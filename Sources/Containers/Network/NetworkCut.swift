public import Host

/// Holds the frames that arrive for the container while it is cut off and gives them back afterwards.
///
/// The place for keeping established connections without a stall (docs/design.md, "Connections"): begin before the freeze
/// (AF_PACKET with virtio headers on the host's end of the veth, SYNs held back), deliver after the port
/// is open: at the destination after the restore, or at the source after a rollback.
public protocol FrameHold: Sendable {
    /// Frames from now on are kept. Called right before the port closes.
    func begin() throws(SystemError)
    /// Frames are given to the container, oldest first. Called right after the port opened and was announced.
    func deliver() throws(SystemError)
    /// They are thrown away: the container runs elsewhere.
    func drop()
}

/// The source's side: takes the container off the network and, after a rollback, back on.
///
/// All sockets and messages are made by `init`; `cut` is one netlink message an interface, 0.1 ms.
public final class NetworkCut: Sendable {
    private let ports: [BridgePort]
    private let announcers: [Announcer]
    private let hold: (any FrameHold)?

    /// - Parameter description: gathered on this host. A namespace that isn't `named` has nothing to cut.
    public init(_ description: NetworkDescription, hold: (any FrameHold)? = nil) throws(SystemError) {
        self.hold = hold
        guard description.kind == .named, let path = description.path else {
            (ports, announcers) = ([], [])
            return
        }
        ports = try description.interfaces.filter(\.isSupported).map { interface throws(SystemError) in
            try BridgePort(interface: interface.hostName ?? "")
        }
        announcers = try NetworkNamespace(path: path).run { () throws(SystemError) in
            try Announcer.all(of: description)
        }
    }

    /// Closes the ports: no frame of the container leaves any more and none arrives. Right before the freeze.
    public func cut() throws(SystemError) {
        try hold?.begin()
        for port in ports { try port.set(.closed) }
    }

    /// Opens the ports again and announces the addresses: the destination may have drawn them over already.
    public func uncut() throws(SystemError) {
        for port in ports { try port.set(.open) }
        for announcer in announcers { try announcer.announce() }
        try hold?.deliver()
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
