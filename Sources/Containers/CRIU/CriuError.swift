public import Host

/// What can go wrong with CRIU.
public enum CriuError: Error, Hashable, CustomStringConvertible {
    case system(SystemError)
    /// CRIU said no, with the error lines of its log.
    case refused(what: String, errno: Int32, message: String, log: CriuLog)
    /// CRIU ended without an answer. A dump's source runs again then, unless its cgroup is frozen.
    case died(what: String, status: String, log: CriuLog)
    /// No word within the time.
    case timedOut(what: String, after: Duration, log: CriuLog)
    /// Something came that CRIU never sends.
    case protocolViolation(what: String)
    /// The preloaded library doesn't answer as agreed.
    case shim(what: String)

    public var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .refused(let what, let errno, let message, let log):
            "criu refused the \(what) (errno \(errno)): \(log.errors.isEmpty && !message.isEmpty ? message : log.summary); whole log: \(log.path)"
        case .died(let what, let status, let log):
            "criu ended during the \(what) (\(status)): \(log.summary); whole log: \(log.path)"
        case .timedOut(let what, let after, let log):
            "criu didn't finish the \(what) within \(after): \(log.summary); whole log: \(log.path)"
        case .protocolViolation(let what): "criu sent \(what)"
        case .shim(let what): "Martlet's library in criu: \(what)"
        }
    }
}
