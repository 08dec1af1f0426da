public import Host

/// Why copying files failed. The copy at the destination is incomplete then; the source is untouched.
public enum FileSyncError: Error, Hashable, CustomStringConvertible {
    case system(SystemError)
    /// rsync ended with a status other than success (rsync(1), EXIT VALUES), with the end of what it printed.
    case rsync(status: String, output: String)
    case timedOut

    public var description: String {
        switch self {
        case .system(let error): "copying files: \(error)"
        case .rsync(let status, let output): "copying files: rsync ended with \(status): \(output)"
        case .timedOut: "copying files: rsync didn't end in time and was stopped"
        }
    }
}
