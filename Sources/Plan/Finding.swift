/// What went wrong or stands in the way, for a person: the three fields of the result's `error`.
public struct Problem: Hashable, Sendable, Codable {
    /// What was tried and on what, such as `freeze the container's cgroup`.
    public var what: String
    /// What the kernel, the program or the peer said.
    public var why: String
    /// What to do about it; empty if nothing is to be done.
    public var hint: String

    public init(what: String, why: String, hint: String = "") {
        self.what = what
        self.why = why
        self.hint = hint
    }
}

/// One result of the pre-flight.
public struct Finding: Hashable, Sendable, Codable {
    public enum Severity: String, Hashable, Sendable, Codable {
        /// The migration is refused; nothing is touched.
        case blocker
        /// The migration goes on; the person is told.
        case warning
    }

    public var severity: Severity
    /// Stable identifier for scripts, in kebab-case: `criu-too-old`.
    public var code: String
    /// Which host found it.
    public var role: Role
    public var what: String
    public var why: String
    public var hint: String

    public init(_ severity: Severity, code: String, role: Role, what: String, why: String, hint: String = "") {
        self.severity = severity
        self.code = code
        self.role = role
        self.what = what
        self.why = why
        self.hint = hint
    }

    public var problem: Problem { Problem(what: what, why: why, hint: hint) }
    public var isBlocker: Bool { severity == .blocker }
}
