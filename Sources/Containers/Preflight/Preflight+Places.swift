import Model

extension Preflight {
    func socketFindings() -> [Finding] {
        var found: [Finding] = []
        let connections = container.sockets.connections
        if !connections.isEmpty, wishes.connections == .refuse {
            let peers = connections.map { "\($0.peer.address):\($0.peer.port)" }
            found.append(
                blocker(
                    "connections-established",
                    "\(connections.count) TCP \(connections.count == 1 ? "connection is" : "connections are") open: "
                        + shortList(peers),
                    "Nobody said what should become of them.",
                    "--tcp-established keeps them (the container needs an address of its own), --tcp-close closes them."))
        }
        if !connections.isEmpty, wishes.connections == .closeUnasked {
            let peers = connections.map { "\($0.peer.address):\($0.peer.port)" }
            found.append(
                warning(
                    "connections-closed",
                    "\(connections.count) TCP \(connections.count == 1 ? "connection" : "connections") will be closed: "
                        + shortList(peers),
                    "The container has no address of its own that could move along, so they end with a reset, and clients connect anew.",
                    "Run it in a network namespace with an address of its own; --tcp-close says that this is wanted."))
        }
        if wishes.connections == .keep, container.network.kind == .named, !source.programs.contains(.nft) {
            found.append(
                warning(
                    "nft-missing", "no nft on the source \(source.name)",
                    "Connections that begin and datagrams that come within some milliseconds of the freeze can't be held back: "
                        + "they may be lost.", "Install nftables on \(source.name)."))
        }
        if !connections.isEmpty, wishes.connections == .keep, container.network.kind == .host {
            let foreign = connections.filter { !$0.local.address.isLoopbackAddress }
            if !foreign.isEmpty {
                found.append(
                    blocker(
                        "connections-on-host-address",
                        "\(foreign.count) TCP connections use \(source.name)'s own address: "
                            + shortList(foreign.map { "\($0.peer.address):\($0.peer.port)" }),
                        "The address stays with this host, so their packets would never reach the destination.",
                        "Use --tcp-close, or run the container in a network namespace with an address of its own."))
            }
        }
        for socket in container.sockets.outsideUnix {
            let name = socket.name.isEmpty ? "without a name" : socket.name
            found.append(
                blocker(
                    "unix-outside", "a Unix socket (\(name), inode \(socket.inode)) leads out of the container",
                    "Its other end is a program of this host, which stays here.",
                    "Close the connection (log drivers and D-Bus are the usual ones) or move to TCP."))
        }
        return found
    }

    func placeFindings() -> [Finding] {
        var found: [Finding] = []
        for (path, judgement) in destination.places.sorted(by: { $0.key < $1.key }) {
            if let finding = placeFinding(path, judgement) { found.append(finding) }
        }
        for source in destination.missingBindSources {
            let bind = container.binds.first { $0.source == source }
            found.append(
                blocker(
                    "bind-missing",
                    "\(source) (mounted at \(bind?.destination ?? "?")) doesn't exist on \(destination.host.name)",
                    "The container's mounts are made again at the destination from the same paths.",
                    "--copy-volume \(source) copies it; a shared file system must be mounted there first."))
        }
        for bind in staying {
            found.append(
                warning(
                    "bind-stays", "\(bind.source) (mounted at \(bind.destination)) isn't copied",
                    "The container will see what \(destination.host.name) has at that path.",
                    "--copy-volume \(bind.source) copies it; nothing to do if both hosts share it."))
        }
        for path in wishes.volumes.unknown(among: container.binds) {
            found.append(
                blocker(
                    "volume-unknown", "--copy-volume \(path): the container has no such bind mount",
                    "Its bind mounts are: \(container.binds.isEmpty ? "none" : shortList(container.binds.map { "\($0.source) at \($0.destination)" })).",
                    "Name one of them by its path on this host or in the container."))
        }
        for bind in wishes.volumes.named(among: container.binds) where !container.copies(bind.source) {
            found.append(
                blocker(
                    "volume-no-folder", "--copy-volume \(bind.source): it is no folder of its own on \(source.name)",
                    "Only folders are copied; system folders never.", "Copy it by other means, and leave the option out."))
        }
        return found + spaceFindings()
    }

    /// Bind mounts that may show something else at the destination: neither copied, nor seen to be the same there.
    private var staying: [ContainerFacts.Bind] {
        container.binds.filter { bind in
            if container.copies(bind.source) || destination.missingBindSources.contains(bind.source) { return false }
            return bind.sight == nil || bind.sight != destination.bindSights[bind.source]
        }
    }

    private func placeFinding(_ path: String, _ judgement: BundlePlace.Judgement) -> Finding? {
        let host = destination.host.name
        switch judgement {
        case .create, .reuse: return nil
        case .replace:
            return warning(
                "volume-replaced", "\(path) on \(host) will be made equal to the source's",
                "Files that exist only there are removed.", "Leave --replace-volumes out to keep them.")
        case .reuseUnrecorded:
            return warning(
                "bundle-reused", "\(path) on \(host) holds the same config.json and will be made equal to the source",
                "Files that exist only there are removed.", "Move it away if you want to keep them.")
        case .refuse(let reason):
            let why =
                switch reason {
                case .forbiddenPath: "Martlet writes into no system folder and no path with dots or empty names."
                case .notAFolder: "Something that isn't a folder stands there."
                case .usedBy(let id): "The container \(id) uses it."
                case .recordedFor(let id): "It was the home of another container, \(id)."
                case .foreign: "It exists and Martlet didn't make it for this container."
                }
            if path != container.bundle, path != container.rootfs, reason != .forbiddenPath {
                return blocker(
                    "volume-taken", "\(path) can't be used on \(host)", why,
                    "--replace-volumes makes it equal to the source's; or move it away on \(host).")
            }
            let hint =
                reason == .forbiddenPath
                ? "Put the bundle somewhere else, for example below /srv or /var/lib."
                : "Move it away on \(host) (mv \(path) \(path).old)."
            return blocker("bundle-taken", "\(path) can't be used on \(host)", why, hint)
        }
    }

    /// Space per file system: several folders may share one.
    private func spaceFindings() -> [Finding] {
        var need: [UInt64: (bytes: Int, entries: Int, paths: [String])] = [:]
        for tree in container.trees {
            guard let free = destination.freeSpace[tree.path] else { continue }
            if destination.places[tree.path] == .reuse { continue }  // only differences travel: their size isn't known here
            need[free.device, default: (0, 0, [])].bytes += tree.bytes.rawValue
            need[free.device, default: (0, 0, [])].entries += tree.entries
            need[free.device, default: (0, 0, [])].paths.append(tree.path)
        }
        var found: [Finding] = []
        for (device, wanted) in need.sorted(by: { $0.key < $1.key }) {
            guard let free = destination.freeSpace.values.first(where: { $0.device == device }) else { continue }
            if wanted.bytes > free.bytes.rawValue {
                found.append(
                    blocker(
                        "disk-short",
                        "\(shortList(wanted.paths)): \(ByteCount(wanted.bytes).shown) to copy, \(free.bytes.shown) free on \(destination.host.name)",
                        "The copy would stop half-way.", "Free space there, or move the folder to a larger disk."))
            } else if let entries = free.entries, wanted.entries > entries {
                found.append(
                    blocker(
                        "inodes-short",
                        "\(shortList(wanted.paths)): \(wanted.entries) files to copy, \(entries) free inodes on \(destination.host.name)",
                        "The copy would stop half-way.", "Remove small files there, or use another file system."))
            }
        }
        return found
    }

    func networkFindings() -> [Finding] {
        var found: [Finding] = []
        let host = destination.host.name, network = container.network
        for endpoint in network.kind == .host ? container.sockets.bound : [] {
            guard let user = destination.usedPorts.first(where: { endpoint.clashes(with: $0) }) else { continue }
            found.append(
                blocker(
                    "port-taken", "\(endpoint) is in use on \(host) (\(user))",
                    "The container uses the host's network, and the port can be bound once.",
                    "Stop the program that has it there, or give the container a network namespace."))
        }
        guard network.kind == .named else { return found }
        if destination.namespaceTaken, let path = network.path {
            found.append(
                blocker(
                    "netns-taken", "\(path) exists on \(host)",
                    "The container's network namespace is made there under the same path.",
                    "Remove it if it is a leftover: ip netns delete \(path.split(separator: "/").last.map(String.init) ?? path)"))
        }
        for address in destination.takenAddresses.sorted() {
            found.append(
                blocker(
                    "address-taken", "\(host) itself has the address \(address)",
                    "Two owners of one address on one network disturb each other.", "Remove the address there."))
        }
        for (address, owner) in destination.rivals.sorted(by: { $0.key < $1.key }) {
            found.append(
                blocker(
                    "address-taken", "\(owner) on \(host) has the address \(address)",
                    "Two owners of one address on one network disturb each other.", "End it, or give it another address."))
        }
        for bridge in destination.missingBridges.sorted() {
            found.append(
                blocker(
                    "bridge-missing", "\(host) has no bridge \(bridge)",
                    "The container's interface is plugged into a bridge of the same network there.",
                    "Make it, or name another one: --bridge NAME."))
        }
        for interface in network.interfaces where !interface.isSupported {
            found.append(
                blocker(
                    "interface-unsupported",
                    "interface \(interface.name) is \(interface.kind.isEmpty ? "a physical one" : interface.kind)"
                        + (interface.kind == "veth" ? " without a bridge on this host" : ""),
                    "Martlet makes pairs of veth plugged into a bridge.",
                    "Connect the container by a veth and a bridge."))
        }
        for extra in network.extras {
            found.append(
                warning(
                    "network-extras", "the container's namespace has \(extra)",
                    "Martlet moves interfaces, addresses, routes, neighbours and settings, not this.",
                    "Set it up at the destination by hand."))
        }
        return found
    }
}

extension String {
    var isLoopbackAddress: Bool { hasPrefix("127.") || self == "::1" || hasPrefix("::ffff:127.") }
}
