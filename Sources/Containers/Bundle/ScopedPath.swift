import Host

/// Paths as a container sees them, with their symbolic links followed inside its root and never out of it.
enum ScopedPath {
    /// As the kernel's own limit.
    private static let maximumLinks = 40

    /// Resolves a path below a root folder, as runc names its mounts (filepath-securejoin): what doesn't exist is
    /// taken as it is written.
    /// - Returns: the resolved path as seen from inside, beginning with `/`.
    static func resolve(_ path: String, inRoot root: String) -> String {
        var done: [Substring] = []
        var rest = Array(path.split(separator: "/").reversed())
        var links = 0
        while let name = rest.popLast() {
            if name == "." { continue }
            if name == ".." {
                _ = done.popLast()
                continue
            }
            let here = "\(root)/\((done + [name]).joined(separator: "/"))"
            guard links < maximumLinks, let target = try? FileIO.readLink(here) else {
                done.append(name)
                continue
            }
            links += 1
            if target.hasPrefix("/") { done = [] }
            rest += target.split(separator: "/").reversed()
        }
        return "/" + done.joined(separator: "/")
    }
}
