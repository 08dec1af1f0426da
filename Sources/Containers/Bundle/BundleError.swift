public import Host

/// What can go wrong with bundles, state files and the runtime's program.
public enum BundleError: Error, Hashable, CustomStringConvertible {
    case system(SystemError)
    /// A file that isn't what it should be.
    case malformed(path: String, why: String)
    /// The runtime knows no such container.
    case noContainer(id: String, root: String)
    /// The runtime's program failed.
    case runtime(command: String, status: String, output: String)
    /// Something is still mounted where files would be removed.
    case stillMounted(path: String, why: String)

    public var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .malformed(let path, let why): "\(path) can't be read: \(why)"
        case .noContainer(let id, let root):
            "no container \(id) in \(root); `runc --root \(root) list` shows those that are there"
        case .runtime(let command, let status, let output): "\(command): \(status): \(output)"
        case .stillMounted(let path, let why): "\(path) can't be unmounted (\(why)): nothing beneath it was removed"
        }
    }
}
