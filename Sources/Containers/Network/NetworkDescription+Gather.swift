import FoundationEssentials
import Host

extension NetworkDescription {
    /// Describes a named network namespace as it is now. Changes nothing.
    /// - Parameters:
    ///   - path: where it is bound, such as /run/netns/NAME.
    ///   - settingNames: names of `net.*` settings to carry over (config.json's `linux.sysctl`).
    public static func gather(path: String, settingNames: [String] = []) throws(NetworkError) -> NetworkDescription {
        let inside = IPTool(namespace: path), host = IPTool()
        var description = NetworkDescription(kind: .named, path: path)
        let hostLinks = try host.read([IPLink].self, ["link", "show"])
        for link in try inside.read([IPLink].self, ["addr", "show"]) where link.link_type != "loopback" {
            if isDefaultDevice(link) { continue }
            description.interfaces.append(interface(link, hostLinks))
        }
        for ipv6 in [false, true] {
            let routes = try inside.read([IPRoute].self, [ipv6 ? "-6" : "-4", "route", "show", "table", "main"])
            description.routes += routes.compactMap { route($0, ipv6) }
        }
        description.neighbours = try inside.read([IPNeighbour].self, ["neigh", "show"]).compactMap(neighbour)
        for name in settingNames {
            let file = "/proc/sys/" + name.split(separator: ".").joined(separator: "/")
            if let value = try? inside.run([file], "cat") {
                description.settings[name] = String(value.drop { $0 == "\n" }.prefix { $0 != "\n" })
            }
        }
        description.extras = try extras(inside)
        return description
    }

    /// Devices that the kernel puts into every new namespace when their drivers are built in (tunl0, sit0, ...): down and bare.
    private static func isDefaultDevice(_ link: IPLink) -> Bool {
        !link.flags.contains("UP") && (link.addr_info ?? []).isEmpty && link.link_type != "ether"
    }

    private static func interface(_ link: IPLink, _ hostLinks: [IPLink]) -> Interface {
        let kind = link.linkinfo?.info_kind ?? ""
        // The other end of a veth names us back.
        let other =
            kind == "veth"
            ? hostLinks.first {
                $0.ifindex == link.link_index && $0.link_index == link.ifindex && $0.linkinfo?.info_kind == "veth"
            } : nil
        return Interface(
            name: link.ifname, index: link.ifindex, mac: link.address ?? "", mtu: link.mtu, kind: kind,
            up: link.flags.contains("UP"),
            addresses: (link.addr_info ?? []).compactMap { address in
                address.local.map {
                    Address(text: $0, prefix: address.prefixlen, broadcast: address.broadcast, scope: address.scope ?? "global")
                }
            },
            hostName: other?.ifname, bridge: other?.linkinfo?.info_slave_kind == "bridge" ? other?.master : nil)
    }

    private static func route(_ route: IPRoute, _ ipv6: Bool) -> Route? {
        guard route.protocol != "kernel", let device = route.dev, !route.dst.hasPrefix("multicast") else { return nil }
        return Route(
            ipv6: ipv6, destination: route.dst, gateway: route.gateway, interface: device, source: route.prefsrc,
            metric: route.metric, scope: route.scope, onLink: route.flags?.contains("onlink") ?? false)
    }

    private static func neighbour(_ entry: IPNeighbour) -> Neighbour? {
        guard let mac = entry.lladdr, MACAddress(mac) != nil else { return nil }  // unresolved, or loopback's
        let states = Set(entry.state ?? [])
        guard states.isDisjoint(with: ["FAILED", "INCOMPLETE", "NOARP"]) else { return nil }
        return Neighbour(address: entry.dst, mac: mac, interface: entry.dev, permanent: states.contains("PERMANENT"))
    }

    private static func extras(_ inside: IPTool) throws(NetworkError) -> [String] {
        var extras: [String] = []
        let rules = try inside.read([IPRule].self, ["rule", "show"])
        let own = rules.filter { ![0, 32766, 32767].contains($0.priority) }
        if !own.isEmpty { extras.append("\(own.count) routing rules of its own") }
        // nft may be missing: then nobody has set rules with it either, as far as this host can tell.
        if let tables = try? inside.run(["list", "tables"], "nft"), !tables.isEmpty {
            extras.append("packet filter tables (\(tables.split(separator: "\n").joined(separator: ", ")))")
        }
        return extras
    }
}
