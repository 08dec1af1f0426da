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
        /// The phase's actions fail. Three of them: no phase does more at once, so what is tried again later succeeds.
        case fail
        /// The phase's action never ends; a timer or the peer must notice.
        case hang
        /// The record by which the phase is announced can't be written, once.
        case failJournal = "fail-journal"
        /// The role stands still at the phase's beginning until the test lets it go on, having done something from outside
        /// meanwhile: a container killed, a cable pulled, a Ctrl-C. Not in `all`: by itself it is no fault.
        case hold
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

    /// Whether this point is meant when `role` writes a record of this kind.
    public func hit(_ role: Role, writing kind: JournalRecord.Kind) -> Bool {
        guard what == .failJournal, role == self.role else { return false }
        return Self.announcements(role)[kind] == phase
    }

    /// Every point that makes sense, rounds not told apart: for table-driven tests.
    public static let all: [FailurePoint] = Role.allCases.flatMap { role in
        phases(of: role).flatMap { phase in
            What.allCases.filter { $0 != .hold && makesSense(role, phase, $0) }
                .map { FailurePoint(role: role, phase: phase, what: $0) }
        }
    }

    /// The phases that a role comes by. The destination sees nothing of what is done to the container at the source.
    public static func phases(of role: Role) -> [String] {
        role == .source ? Phase.names : Phase.names.filter { !["freeze", "capture", "ship"].contains($0) }
    }

    /// The phases that begin with a record of the role's journal, or end with it.
    private static func announcements(_ role: Role) -> [JournalRecord.Kind: String] {
        switch role {
        case .source: [.opened: "prepare", .frozen: "cut", .decided: "decide", .running: "fill", .done: "clean"]
        case .destination: [.opened: "prepare", .ready: "decide", .released: "release", .running: "fill", .done: "clean"]
        }
    }

    private static func makesSense(_ role: Role, _ phase: String, _ what: What) -> Bool {
        guard phases(of: role).contains(phase) else { return false }
        switch what {
        case .kill, .killKeeper, .cutLink, .fail, .hold: return true
        case .killAgent: return role == .destination
        case .killCriu: return criuLives(role).contains(phase)
        case .failJournal: return announcements(role).values.contains(phase)
        case .hang: return hangs(role).contains(phase)
        }
    }

    private static func criuLives(_ role: Role) -> Set<String> {
        let both: Set<String> = ["cut", "restore", "decide", "release"]
        return role == .source ? both.union(["freeze", "capture", "ship", "fill"]) : both
    }

    /// Phases that wait for something that may never come: CRIU, rsync, a task that can't be frozen. The others wait for
    /// the peer, or for steps of the kernel that have a limit of their own.
    private static func hangs(_ role: Role) -> Set<String> {
        role == .source
            ? ["prepare", "copy", "cut", "freeze", "capture", "ship"] : ["check", "prepare", "copy", "restore"]
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
