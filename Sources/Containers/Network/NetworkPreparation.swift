import FoundationEssentials
import Glibc
public import Host

/// The destination's side: makes the container's network, shut off until the commit.
public final class NetworkPreparation: Sendable {
    /// What was made, for the journal: `undo` removes this and nothing else, after a crash too.
    public struct Made: Codable, Sendable, Hashable {
        /// Path of the namespace.
        public var namespace: String?
        /// Host's ends of the veth pairs.
        public var interfaces: [String] = []
        public init() {}
    }

    public let made: Made
    private let ports: [BridgePort]
    private let announcers: [Announcer]
    private let injectors: [Int: FrameInjector]

    /// Makes namespace, interfaces, addresses, routes and neighbours, with the bridge's ports closed.
    ///
    /// Undoes its own work if it fails half-way.
    /// - Parameters:
    ///   - bridge: plugs all interfaces into this one instead of the ones of the same names.
    ///   - willMake: called before each step with all that will have been made after it: write it down.
    public init(
        _ description: NetworkDescription, bridge: String? = nil, willMake: (Made) -> Void = { _ in }
    ) throws(NetworkError) {
        var builder = NetworkBuilder(description: description, bridge: bridge)
        do throws(NetworkError) {
            if description.kind == .named, let path = description.path { try builder.build(path, willMake) }
            ports = builder.ports
            injectors = builder.injectors
            announcers = try builder.announcers()
            made = builder.made
        } catch {
            try? Self.undo(builder.made)
            throw error
        }
    }

    /// Closes all ports once more and looks whether they are: the kernel opens a port by itself when its carrier comes.
    /// Call it when the source says that it cut.
    public func close() throws(SystemError) {
        for port in ports { try port.set(.closed) }
    }

    /// Puts the container on the network: ports open, frames that came for it meanwhile given, addresses announced, so that
    /// what comes then comes behind them. One message and one frame each.
    public func open(giving: () -> Void = {}) throws(SystemError) {
        for port in ports { try port.set(.open) }
        giving()
        try announce()
    }

    /// Whether a frame may be given to the container: one of its interfaces, and its address.
    public func takes(_ frame: CapturedFrame) -> Bool { injectors[frame.interface]?.takes(frame) ?? false }

    /// Gives a frame to the container, as if it had come over its cable. The port is open.
    public func give(_ frame: CapturedFrame) { injectors[frame.interface]?.give(frame) }

    /// Announces once more (a frame may be lost).
    public func announce() throws(SystemError) {
        for announcer in announcers { try announcer.announce() }
    }

    /// Puts a container on the network that another process prepared: ports open, addresses announced.
    /// - Parameter description: as it was prepared; without it nothing can be announced.
    public static func reopen(_ made: Made, _ description: NetworkDescription?) throws(SystemError) {
        for interface in made.interfaces { try BridgePort(interface: interface).set(.open) }
        guard let path = made.namespace, let description else { return }
        let announcers = try NetworkNamespace(path: path).run { () throws(SystemError) in try Announcer.all(of: description) }
        for announcer in announcers { try announcer.announce() }
    }

    /// Removes what was made. Repeating is harmless; what is gone already is no error.
    public static func undo(_ made: Made) throws(NetworkError) {
        for interface in made.interfaces where if_nametoindex(interface) != 0 {
            try IPTool().run(["link", "delete", interface])  // its other end goes with it
        }
        if let path = made.namespace, FileIO.exists(path) { try NetworkNamespace(path: path).remove() }
    }
}

/// The steps of making a network.
///
/// Nothing with the container's MAC or addresses may leave before the commit, or switches would send its frames here
/// while it still runs at the source. But a bridge opens a new port at once when its carrier is up. So the veth comes up and is
/// plugged with another MAC and no address; the port is closed; only then it gets the container's own.
struct NetworkBuilder {
    let description: NetworkDescription
    let bridge: String?
    var made = NetworkPreparation.Made()
    var ports: [BridgePort] = []
    var injectors: [Int: FrameInjector] = [:]

    init(description: NetworkDescription, bridge: String?) {
        self.description = description
        self.bridge = bridge
    }

    mutating func build(_ path: String, _ willMake: (NetworkPreparation.Made) -> Void) throws(NetworkError) {
        guard !FileIO.exists(path) else { throw .unexpected("\(path) exists already") }
        var next = made
        next.namespace = path
        willMake(next)
        try NetworkNamespace(path: path).make()
        made = next
        let inside = IPTool(namespace: path)
        try inside.run(["link", "set", "lo", "up"])
        try applySettings(path)
        for (number, interface) in description.interfaces.enumerated() {
            guard interface.isSupported, let bridge = bridge ?? interface.bridge else {
                throw .unexpected("interface \(interface.name) is no veth in a bridge")
            }
            let hostName = freeName(interface.hostName)
            next.interfaces.append(hostName)
            willMake(next)
            try addPair(interface, hostName, inside)
            made = next
            try plug(interface, hostName, bridge, inside)
            try configure(interface, inside)
            if let mac = MACAddress(interface.mac) {
                do { injectors[number] = try FrameInjector(hostName: hostName, mac: mac) } catch { throw .system(error) }
            }
        }
        try addRoutes(inside)
        for entry in description.neighbours {
            // A neighbour of an address that isn't reachable here is no reason to fail.
            _ = try? inside.run([
                "neigh", "replace", entry.address, "lladdr", entry.mac, "dev", entry.interface, "nud",
                entry.permanent ? "permanent" : "stale",
            ])
        }
    }

    private func applySettings(_ path: String) throws(NetworkError) {
        let settings = description.settings.filter { $0.key.hasPrefix("net.") && !$0.key.contains("..") && !$0.key.contains("/") }
        do {
            try NetworkNamespace(path: path).run { () throws(SystemError) in
                for (name, value) in settings {
                    try FileIO.writeValue(value, to: "/proc/sys/" + name.split(separator: ".").joined(separator: "/"))
                }
            }
        } catch { throw .system(error) }
    }

    /// The source's name for the host's end if it is free here.
    private func freeName(_ wanted: String?) -> String {
        if let wanted, !wanted.isEmpty, if_nametoindex(wanted) == 0 { return wanted }
        while true {
            let name = "mt" + String(UInt32.random(in: 0 ... .max), radix: 16)
            if if_nametoindex(name) == 0 { return name }
        }
    }

    /// Makes the pair from inside, because only the end made there may choose its number (veth_newlink in drivers/net/veth.c).
    private func addPair(_ interface: NetworkDescription.Interface, _ hostName: String, _ inside: IPTool) throws(NetworkError) {
        let mtu = String(interface.mtu)
        let tail = [
            "mtu", mtu, "type", "veth", "peer", "name", hostName, "mtu", mtu, "netns",
            "/proc/\(getpid())/task/\(Thread.currentID)/ns/net",
        ]
        do {
            try inside.run(["link", "add", "name", interface.name, "index", String(interface.index)] + tail)
        } catch {
            // The number is taken here (another kernel has more default devices): most programs don't care.
            try inside.run(["link", "add", "name", interface.name] + tail)
        }
    }

    /// Brings both ends up and plugs the outer one, closed.
    private mutating func plug(
        _ interface: NetworkDescription.Interface, _ hostName: String, _ bridge: String, _ inside: IPTool
    ) throws(NetworkError) {
        let host = IPTool()
        try inside.run(["link", "set", interface.name, "addrgenmode", "none"])
        try host.run(["link", "set", hostName, "addrgenmode", "none", "up"])
        try inside.run(["link", "set", interface.name, "up"])
        try waitForCarrier(hostName)
        try host.run(["link", "set", hostName, "master", bridge])
        do throws(SystemError) {
            let port = try BridgePort(interface: hostName)
            try port.set(.closed)
            guard try port.state() == .closed else {
                throw SystemError(call: "bridge port state", subject: hostName, errno: EBUSY)
            }
            ports.append(port)
        } catch { throw .system(error) }
    }

    /// The kernel's link watcher runs up to a second later; it would open the port that we have closed.
    private func waitForCarrier(_ hostName: String) throws(NetworkError) {
        let deadline = MonotonicInstant.now + .seconds(5)
        while (try? FileIO.readLine("/sys/class/net/\(hostName)/operstate")) != "up" {
            guard MonotonicInstant.now < deadline else { throw .unexpected("\(hostName) got no carrier in 5 s") }
            sleepThread(.milliseconds(2))
        }
    }

    private func configure(_ interface: NetworkDescription.Interface, _ inside: IPTool) throws(NetworkError) {
        try inside.run(["link", "set", interface.name, "address", interface.mac])
        for address in interface.addresses {
            var words = ["addr", "add", "\(address.text)/\(address.prefix)", "dev", interface.name, "scope", address.scope]
            if let broadcast = address.broadcast { words += ["broadcast", broadcast] }
            if address.isIPv6 { words.append("nodad") }  // the other owner is the container itself
            try inside.run(words)
        }
        if !interface.up { try inside.run(["link", "set", interface.name, "down"]) }
    }

    private func addRoutes(_ inside: IPTool) throws(NetworkError) {
        // Gateways need their own routes first: direct ones before those by a gateway.
        for route in description.routes.sorted(by: { ($0.gateway == nil ? 0 : 1) < ($1.gateway == nil ? 0 : 1) }) {
            var words = [route.ipv6 ? "-6" : "-4", "route", "replace", route.destination]
            if let gateway = route.gateway { words += ["via", gateway] }
            words += ["dev", route.interface]
            if let source = route.source { words += ["src", source] }
            if let metric = route.metric { words += ["metric", String(metric)] }
            if let scope = route.scope { words += ["scope", scope] }
            if route.onLink { words.append("onlink") }
            try inside.run(words)
        }
    }

    func announcers() throws(NetworkError) -> [Announcer] {
        guard let path = made.namespace else { return [] }
        let description = description
        do {
            return try NetworkNamespace(path: path).run { () throws(SystemError) in try Announcer.all(of: description) }
        } catch { throw .system(error) }
    }
}
