public import Model

/// A place where a fault can be made on purpose, as text `ROLE.PHASE.WHAT`, such as `source.freeze.kill`.
///
/// The doers ask at the beginning of each phase (`FailurePoint.hit`), tests walk through `all`; each one must end with
/// exactly one running container. A copy phase may name its round: `source.copy-2.cut-link`.
public struct FailurePoint: Hashable, Sendable, CustomStringConvertible {
    public enum What: String, Hashable, Sendable, CaseIterable {
        /// SIGKILL to the role's own process (source: `migrate`; destination: the session).
        case kill
        /// SIGKILL to the role's CRIU.
        case killCriu = "kill-criu"
        /// SIGKILL to the source's guardian, or the destination's keeper.
        case killKeeper = "kill-keeper"
        /// SIGKILL to the destination's agent.
        case killAgent = "kill-agent"
        /// Break all connections.
        case cutLink = "cut-link"
        /// The phase's action fails.
        case fail
        /// The phase's action never ends; a timer or the peer must notice.
        case hang
        /// The journal can't be written.
        case failJournal = "fail-journal"
    }

    public var role: Role
    /// A phase's name; rounds are in `round`.
    public var phase: String
    /// Only for `copy`; nil means round 0.
    public var round: Int?
    public var what: What

    public init(role: Role, phase: String, round: Int? = nil, what: What) {
        self.role = role
        self.phase = phase
        self.round = round
        self.what = what
    }

    public var description: String {
        "\(role.rawValue).\(phase)\(round.map { "-\($0)" } ?? "").\(what.rawValue)"
    }

    /// Whether this point is meant when `role` is in `phase`.
    public func hit(_ role: Role, _ phase: Phase) -> Bool {
        guard role == self.role, phase.name == self.phase else { return false }
        if case .copy(let now) = phase { return now == round ?? 0 }
        return true
    }

    /// Every point that makes sense, rounds not told apart: for table-driven tests.
    public static let all: [FailurePoint] = Role.allCases.flatMap { role in
        Phase.names.flatMap { phase in
            What.allCases.filter { makesSense(role, phase, $0) }.map { FailurePoint(role: role, phase: phase, what: $0) }
        }
    }

    private static func makesSense(_ role: Role, _ phase: String, _ what: What) -> Bool {
        let criuLives: Set<String> =
            role == .source
            ? ["cut", "freeze", "capture", "ship", "restore", "decide", "release", "fill"]
            : ["cut", "freeze", "capture", "ship", "restore", "decide", "release"]
        let journalWrites: Set<String> =
            role == .source ? ["prepare", "cut", "decide", "fill", "clean"] : ["prepare", "decide", "release", "clean"]
        switch what {
        case .kill, .killKeeper, .cutLink, .fail, .hang: return true
        case .killAgent: return role == .destination
        case .killCriu: return criuLives.contains(phase)
        case .failJournal: return journalWrites.contains(phase)
        }
    }

    /// - Throws: `OptionError` in words.
    public static func parse(_ text: String) throws(OptionError) -> FailurePoint {
        func wrong(_ why: String, _ hint: String) -> OptionError {
            OptionError(option: "failure point", value: text, why: why, hint: hint)
        }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3 else { throw wrong("is not ROLE.PHASE.WHAT", "for example source.freeze.kill") }
        guard let role = Role(rawValue: parts[0]) else {
            throw wrong("'\(parts[0])' is no role", "source or destination")
        }
        guard let what = What(rawValue: parts[2]) else {
            throw wrong("'\(parts[2])' is no fault", What.allCases.map(\.rawValue).joined(separator: ", "))
        }
        var phase = parts[1]
        var round: Int?
        if phase.hasPrefix("copy-") {
            guard let number = Int(phase.dropFirst(5)), number >= 0 else {
                throw wrong("'\(phase)' names no round", "for example source.copy-2.kill")
            }
            (phase, round) = ("copy", number)
        }
        guard Phase.names.contains(phase) else {
            throw wrong("'\(phase)' is no phase", Phase.names.joined(separator: ", "))
        }
        guard makesSense(role, phase, what) else {
            throw wrong("nothing there can fail so", "see FailurePoint.all")
        }
        return FailurePoint(role: role, phase: phase, round: round, what: what)
    }
}
