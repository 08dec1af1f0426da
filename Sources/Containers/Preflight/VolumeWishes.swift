/// Which bind-mounted folders travel with the container: `--copy-volume`, `--copy-volumes`, `--replace-volumes`.
public struct VolumeWishes: Codable, Sendable, Hashable {
    /// Named by the path at the source or by the one in the container.
    public var paths: [String]
    public var all: Bool
    /// What the destination has at the same paths may be replaced.
    public var replace: Bool

    public init(paths: [String] = [], all: Bool = false, replace: Bool = false) {
        self.paths = paths.map(Self.plain)
        self.all = all
        self.replace = replace
    }

    /// A path without slashes at its end.
    public static func plain(_ path: String) -> String {
        var path = path[...]
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return String(path)
    }

    /// Folders to be copied, for the outline. Of `all`, those that can be: single files and system folders stay.
    public func folders(among binds: [ContainerFacts.Bind]) -> [String] {
        var folders: [String] = []
        for bind in binds where all || isNamed(bind) {
            guard BundlePlace.isAcceptable(bind.source), BundlePlace.isFolder(bind.source), !folders.contains(bind.source) else {
                continue
            }
            folders.append(bind.source)
        }
        return folders
    }

    /// Bind mounts that were asked for by name.
    func named(among binds: [ContainerFacts.Bind]) -> [ContainerFacts.Bind] { binds.filter(isNamed) }

    /// Names that are none of the container's bind mounts.
    func unknown(among binds: [ContainerFacts.Bind]) -> [String] {
        paths.filter { path in !binds.contains { $0.source == path || Self.plain($0.destination) == path } }
    }

    private func isNamed(_ bind: ContainerFacts.Bind) -> Bool {
        paths.contains(bind.source) || paths.contains(Self.plain(bind.destination))
    }
}

extension ContainerFacts {
    /// Whether a path travels with the container.
    func copies(_ path: String) -> Bool { trees.contains { path.isAtOrBelow($0.path) } }
}
