/// The two parts that a host can play.
public enum Role: String, Hashable, Sendable, Codable, CaseIterable {
    case source, destination
}

/// Something that the pre-flight found out: a reason to refuse, or something that the user should know.
///
/// `code` is stable (docs/preflight.md lists all of them); scripts may rely on it. The sentences may change.
public struct Finding: Codable, Sendable, Hashable {
    public enum Severity: String, Codable, Sendable, Hashable, CaseIterable {
        /// The migration is refused and nothing is touched.
        case blocker
        /// The migration goes ahead; the person is told.
        case warning
    }

    public var severity: Severity
    /// Stable name in kebab case, such as `criu-too-old`.
    public var code: String
    /// Which host found it.
    public var role: Role
    /// What was found, with the names and numbers of this case.
    public var what: String
    /// Why this matters.
    public var why: String
    /// What to do about it; empty if nothing is to be done.
    public var hint: String

    public init(_ severity: Severity, code: String, role: Role, what: String, why: String, hint: String = "") {
        self.severity = severity
        self.code = code
        self.role = role
        self.what = what
        self.why = why
        self.hint = hint
    }

    public init(_ severity: Severity, _ code: String, what: String, why: String, hint: String) {
        self.init(severity, code: code, role: .destination, what: what, why: why, hint: hint)
    }

    public var isBlocker: Bool { severity == .blocker }
}
