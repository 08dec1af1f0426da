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

/// Names one migration on both hosts: the 16 bytes of the preamble as 32 lower-case hexadecimal digits.
///
/// One id is one attempt. A container that was rolled back is moved again under a new id, so a late message of an
/// earlier attempt can never be mistaken for one of this attempt.
public struct MigrationID: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
    public var rawValue: String

    /// Nil unless `rawValue` is 32 lower-case hexadecimal digits: it becomes part of file names.
    public init?(rawValue: String) {
        guard rawValue.utf8.count == 32 else { return nil }
        for digit in rawValue.utf8 {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"): continue
            default: return nil
            }
        }
        self.rawValue = rawValue
    }

    public var description: String { rawValue }
}
