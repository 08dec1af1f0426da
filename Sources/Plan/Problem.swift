public import Model

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

extension Finding {
    public var problem: Problem { Problem(what: what, why: why, hint: hint) }
}
