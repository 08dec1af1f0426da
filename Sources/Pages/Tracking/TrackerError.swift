public import Host

/// Why a round failed. What was found so far is lost; the next round finds it again only for `contentHash`, so a failed
/// round means: start over with a new tracker, or give up.
public enum TrackerError: Error, Hashable, CustomStringConvertible {
    /// The kernel can't do what was asked for.
    case unsupported(TrackerKind, reason: String)
    /// The list of processes couldn't be read.
    case processes(SystemError)
    /// One process's state couldn't be read, though it lives.
    case scan(pid: Int32, SystemError)

    public var description: String {
        switch self {
        case .unsupported(let kind, let reason): "tracking by \(kind.rawValue) is not possible here: \(reason)"
        case .processes(let error): "listing the container's processes: \(error)"
        case .scan(let pid, let error): "scanning pid \(pid): \(error)"
        }
    }
}
