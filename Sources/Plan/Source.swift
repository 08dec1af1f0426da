public import Model

/// What the source is to do; constant during one attempt.
public struct SourceOrder: Hashable, Sendable {
    public var migration: MigrationID
    /// `DEST` as given.
    public var peer: String
    public var options: MigrationOptions
    public var container: ContainerDescription
    public var capabilities: Capabilities
    public var findings: [Finding]
    public var recovery: RecoveryFacts
    /// For the offer: what only the doers read.
    public var facts: String
    /// Of the hashes by which pages are compared; drawn for each migration, so that nobody can prepare two that look the same.
    public var seed: UInt64
    /// Of this host.
    public var processors: Int

    public init(
        migration: MigrationID, peer: String, options: MigrationOptions, container: ContainerDescription,
        capabilities: Capabilities, findings: [Finding], recovery: RecoveryFacts, facts: String = "",
        seed: UInt64 = 0, processors: Int = 2
    ) {
        self.processors = processors
        self.seed = seed
        self.migration = migration
        self.peer = peer
        self.options = options
        self.container = container
        self.capabilities = capabilities
        self.findings = findings
        self.recovery = recovery
        self.facts = facts
    }
}

/// Facts that the source's doers report. An event that does not fit the machine's state is late or a duplicate and
/// changes nothing.
public enum SourceEvent: Hashable, Sendable {
    /// Once, first: begin, or with a recovering machine settle.
    case started
    /// A control connection to the destination is up; it replaces any earlier one.
    case connected
    /// One `connect` failed.
    case connectionFailed(Problem)
    /// The control connection, or one that the attempt can't do without, is gone.
    case peerLost(Problem)
    case received(PeerMessage)
    /// A question on the control connection came back after so long. Before the answer to the offer.
    case roundTrip(Duration)
    case journalWritten(JournalRecord.Kind)

    /// A `syncFiles` ended: all files that had changed by its start are at the destination.
    case filesSynced
    /// All pages of the round landed.
    case roundFinished(RoundReport)
    /// CRIU waits at `pre-dump`.
    case criuHeld
    case networkCut
    case frozen
    /// `sendFinalPages` ended: pages and the list of live pages are on the streams.
    case finalPagesSent
    /// CRIU waits at `post-dump`.
    case dumped
    /// The cgroup is frozen again.
    case refrozen
    /// Images are on the way; all that `shipped` will tell.
    case imagesShipped(Shipped)
    /// `rollBack` ended: the container runs as before.
    case rolledBack
    case sourceKilled
    case cleaned

    /// The container ended by itself or by somebody else's hand.
    case containerExited
    /// Ctrl-C or a termination signal.
    case interrupted
    case timer(SourceTimer)
    /// A `syncFiles` or `startRound` ended early because the link was lost, which its own event tells too.
    case cutShort(SourceStep)
    /// An action failed.
    case failed(SourceStep, Problem)
    /// `martlet recover --run-here` at the source, confirmed by a person.
    case runHere
}

/// Verbs for the source's doers. Several in one answer may run at the same time, except that messages and journal
/// records each keep their order. Every action except `enter`, `note`, `announce`, `send`, timers and `finish` ends with its event
/// or with `failed`.
public enum SourceAction: Hashable, Sendable {
    /// A phase begins: for the timeline, progress and logs.
    case enter(Phase)
    /// Tell the person.
    case note(String)
    /// The rounds are over: tell the person how the rest gets over, and why. For the result too.
    case announce(FreezeDecision)
    /// Dial the peer (dropping any earlier connection) → `connected` or `connectionFailed`.
    case connect
    /// End all connections, so that nothing waits for them any more. No event.
    case hangUp
    /// Dropped silently if there is no connection.
    case send(PeerMessage)
    /// Append and fsync → `journalWritten`, or `failed(.journal(kind))` when it is not known to be on disk.
    case journal(JournalRecord)
    case startTimer(SourceTimer, Duration)
    case stopTimer(SourceTimer)

    /// Move the memory in these ways; before all that follows. Done at once, no event.
    case take(Ways)
    /// Bring the destination's files up to date → `filesSynced`. Asked once while running and once frozen.
    case syncFiles
    /// Give the container less processor time from now on. A wish: no event, and no failure.
    case throttle(ThrottleStep)
    /// Copy what is dirty (round 0: everything), running → `roundFinished`.
    case startRound(Int)
    /// Start the dump, held at `pre-dump` → `criuHeld`.
    case startCriu
    /// Listen to what comes for the container, hold newcomers back, wait until its sockets are empty → `networkCut`.
    case cutNetwork
    /// Give back what a throttle took, freeze the cgroup, then close the ports: what the container said while it ran still goes out → `frozen`.
    case freeze
    /// Write hidden ranges and cached smaps, answer `pre-dump` → `dumped`.
    case releaseCriu
    /// → `finalPagesSent`
    case sendFinalPages(FinalPass)
    /// cgroup.freeze=1 once more, because CRIU thawed it → `refrozen`.
    case refreeze
    /// → `imagesShipped`
    case shipImages
    /// Answer the destination's requests for pages until it is filled. No event but `failed`.
    case serveMissing
    /// Stop whatever is in flight, then the steps in order; each is harmless when there is nothing to undo
    /// → `rolledBack`.
    case rollBack([UndoStep])
    /// Answer success at `post-dump` (or kill CRIU), kill the cgroup, wait until it is empty → `sourceKilled`. Harmless
    /// when nothing is left.
    case killSource
    /// Remove the container from its engine (unless it is kept), network leftovers and the session folder → `cleaned`.
    case clean(keepContainer: Bool)
    /// The last action: report and end. The journal may be open: then `recover` has something to do.
    case finish(Ending)
}

/// What the last pass over memory sends, frozen.
public enum FinalPass: Hashable, Sendable {
    /// Every page that is not at the destination, and the list of live pages.
    case everything
    /// Only the list: missing pages are fetched after the release.
    case listOnly
}

/// What can be undone at the source, in the order in which it is undone.
public enum UndoStep: String, Hashable, Sendable, CaseIterable {
    /// Answer failure to a held CRIU and wait for its end; it lets the tasks go (into the frozen cgroup).
    case abandonCriu
    /// The processor time that a throttle took.
    case giveProcessorsBack
    /// cgroup.freeze=0.
    case thaw
    /// Open the port, inject captured frames, announce the address.
    case restoreNetwork
    /// End write tracking, close its descriptors.
    case stopTracking
}

/// Actions that can fail.
public enum SourceStep: Hashable, Sendable {
    case syncFiles, round, startCriu, cutNetwork, freeze, dump, finalPages, refreeze, ship, serveMissing
    case rollBack, kill, clean
    case journal(JournalRecord.Kind)
}

public enum SourceTimer: String, Hashable, Sendable, CaseIterable {
    /// `--timeout`.
    case deadline
    /// An answer of the peer is due.
    case answer
    /// The container has been frozen for too long without a decision.
    case frozen
    /// Try to reach the destination again.
    case retry
    /// Give up trying; the journal stays open.
    case patience
    /// The link was lost before the freeze and did not come back: roll back.
    case reconnect
}

/// Durations of the machines' timers.
public enum Patience {
    /// For an answer on the control connection that needs little work. A healthy peer answers in milliseconds, a
    /// `runc restore` on a busy host in two seconds; a larger value only delays the bad news.
    public static let answer = Duration.seconds(20)
    /// From the freeze to `ready` or `decided`. A stop-copy of all memory needs the transfer's time on top: see
    /// `SourceMachine.frozenLimit`. TCP peers of the container give up after minutes (Linux: tcp_retries2, about
    /// 15 min), clients' own timeouts are often 30 s: a longer freeze makes the outage worse than a failed migration.
    public static let frozen = Duration.seconds(30)
    /// Between attempts to reach a destination in doubt. The container stands still meanwhile: keep it short.
    public static let retry = Duration.milliseconds(500)
    /// How much longer than the source a destination waits for its return: the two notice a loss up to 16 s apart, and a connection
    /// that is tried last takes its time.
    public static let returning = Duration.seconds(30)
    /// How long a decided source keeps trying before it ends with "failed, needs recover".
    public static let decided = Duration.seconds(120)
    /// Between reminders of a ready destination.
    public static let verdict = Duration.seconds(2)
    /// How long an ended destination keeps its session for late questions; after that the agent answers from the
    /// journal by starting a new one.
    public static let bye = Duration.seconds(10)
    /// How long a source that has rolled back (and runs) tries to tell the destination.
    public static let farewell = Duration.seconds(5)
}
