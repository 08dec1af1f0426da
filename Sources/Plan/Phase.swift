/// The path of a migration, one enum for both roles.
///
/// Log labels, metrics, the journal, the progress view and the result's `phases` are derived from it. The order is
/// `check → prepare → copy(round) → cut → freeze → capture → ship → restore → decide → release → fill → clean`.
/// `docs/phases.md` shows the same as a table. "Undecided" and "decided" speak of the source's journal.
public enum Phase: Hashable, Sendable {
    /// Both roles look for blockers. The container runs; nothing has been touched on either side, so there is nothing
    /// to undo and a crash leaves nothing.
    case check

    /// The destination makes its session folder, bundle, page store and network namespace; the source syncs files.
    /// At entry both sides agreed to try. Undone by the destination's discard. A crash leaves a session folder and
    /// half a file tree at the destination, which its own recovery discards.
    case prepare

    /// The source copies memory while the container runs. `round` counts from 0. At entry the destination's page
    /// store takes pages. Undone by ending the tracker and by the destination's discard. A crash of the source
    /// leaves the container running and untracked; a crash of the destination is a lost peer.
    case copy(round: Int)

    /// The source holds back new connections and datagrams until the container's sockets are empty. At entry CRIU waits at
    /// `pre-dump`, the destination's restore waits for its request, and `frozen` is in the source's journal. Undone by
    /// letting them in again. A crash leaves the container running without them: the guardian lets them in.
    case cut

    /// The source freezes the container's cgroup and closes its ports: no packet passes any more. From here to `release`
    /// nothing runs anywhere. Undone by thawing and opening. A crash leaves a frozen container: the guardian thaws it.
    case freeze

    /// CRIU dumps the skeleton while the last pages, the list of live pages and the last file changes are sent. At
    /// entry the cgroup is frozen; CRIU thaws it while holding the tasks by ptrace, so a crash of CRIU lets them run.
    /// Undone by failing CRIU's notification, then thawing. The guardian settles a crash.
    case capture

    /// The images go to the destination and the cgroup is frozen once more. At entry CRIU waits at `post-dump`.
    /// Undone as `capture` is.
    case ship

    /// The destination restores and holds every task short of running. At entry it has images, pages and files.
    /// Undone by thawing at the source and the discard at the destination, each on its own. A crash of either role
    /// makes both do that: the destination has no `ready` in its journal.
    case restore

    /// The source writes `decided`. At entry the destination's journal says `ready` and both copies are frozen. Before
    /// the record is on disk the source undoes all by itself; the destination, being ready, may not.
    case decide

    /// The destination writes `released` and thaws. At entry the source's journal says `decided`: it will never thaw
    /// unless the destination durably says that it aborted and never ran. A crash of either is settled by asking the
    /// other one; nothing undoes it.
    case release

    /// The container runs at the destination; its memory is completed from the store (and, in hybrid, from the frozen
    /// source). Nothing undoes it. A crash of the session is taken over by its keeper, one of the source by recovery.
    case fill

    /// The source kills and removes its stopped copy, the journals are closed. A crash leaves a frozen copy, which
    /// recovery removes because the journal says `running`.
    case clean

    /// Whether no copy of the container runs during this phase: its time is downtime.
    public var isFrozen: Bool {
        switch self {
        case .freeze, .capture, .ship, .restore, .decide, .release: true
        case .check, .prepare, .copy, .cut, .fill, .clean: false
        }
    }

    /// Whether each instant of this phase is downtime, or about to be: both processes then go before everything else.
    public var isUrgent: Bool { isFrozen || self == .cut }

    /// The phase's name in logs, progress and the result, such as `copy` or `restore`; a round has its own field.
    public var name: String {
        switch self {
        case .check: "check"
        case .prepare: "prepare"
        case .copy: "copy"
        case .cut: "cut"
        case .freeze: "freeze"
        case .capture: "capture"
        case .ship: "ship"
        case .restore: "restore"
        case .decide: "decide"
        case .release: "release"
        case .fill: "fill"
        case .clean: "clean"
        }
    }

    /// Of a copy phase.
    public var round: Int? { if case .copy(let round) = self { round } else { nil } }

    /// For people: the name, with the round where there is one, such as `copy 3`.
    public var label: String {
        if case .copy(let round) = self { "copy \(round)" } else { name }
    }

    /// All names in order, one for each kind of phase.
    public static let names = [
        "check", "prepare", "copy", "cut", "freeze", "capture", "ship", "restore", "decide", "release", "fill", "clean",
    ]
}
