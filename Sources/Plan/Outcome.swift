public import Model

/// How a migration ended; the result's `outcome`.
public enum Outcome: String, Hashable, Sendable, Codable, CaseIterable {
    case migrated
    /// The source runs on.
    case rolledBack = "rolled-back"
    /// By the pre-flight; nothing was touched.
    case refused
    case failed
    /// A dry run without blockers.
    case checked
}

/// An outcome with its reason: what a machine finishes with.
public struct Ending: Hashable, Sendable {
    public var outcome: Outcome
    /// Nil only for `migrated` and `checked`.
    public var problem: Problem?
    /// Ctrl-C was the reason.
    public var interrupted: Bool
    /// The journal is open: `martlet recover` has something to do, either because this side is in doubt or because the
    /// peer could not be told.
    public var needsRecover: Bool
    /// In `refused` and `checked`: everything found by both hosts.
    public var findings: [Finding]

    public init(
        _ outcome: Outcome, problem: Problem? = nil, interrupted: Bool = false, needsRecover: Bool = false,
        findings: [Finding] = []
    ) {
        self.outcome = outcome
        self.problem = problem
        self.interrupted = interrupted
        self.needsRecover = needsRecover
        self.findings = findings
    }

    public var exitCode: ExitCode {
        switch outcome {
        case .migrated, .checked: .success
        case .refused: .refused
        case .rolledBack: interrupted ? .interrupted : .rolledBack
        case .failed: .failed
        }
    }
}

/// The program's exit status.
public enum ExitCode: Int32, Sendable, CaseIterable {
    case success = 0
    case usage = 2
    case refused = 3
    case rolledBack = 4
    case failed = 5
    case interrupted = 130
}
