/// Facts that the destination's doers report. An event that does not fit changes nothing.
public enum DestinationEvent: Hashable, Sendable {
    /// Once, first, and only with a recovering machine: settle.
    case started
    /// The source's control connection is up; it replaces any earlier one.
    case connected
    /// The control connection, or one that the attempt can't do without, is gone.
    case peerLost(Problem)
    case received(PeerMessage)
    case journalWritten(JournalRecord.Kind)

    /// `check` ended. The facts say where this attempt's things will be; they go into `opened`.
    case checked(Findings, RecoveryFacts)
    case prepared(Prepared)
    /// `resume` ended: nothing of earlier connections will land any more.
    case resumed(Int)
    /// The restore waits for its request.
    case restoreHeld
    /// Every task is restored, none has run, the cgroup is frozen.
    case restored
    case thawed(Running)
    case filled
    /// `discard` ended: no task of the copy lives.
    case discarded
    case cleaned

    /// The restored container's tasks are gone: while held because CRIU died, later because it ended.
    case containerExited
    /// The held copy, or the CRIU that would let it go, died, and this process knows that it never tried to let it go: no
    /// instruction of it ran, whatever the journal says.
    case heldCopyDied
    case timer(DestinationTimer)
    case failed(DestinationStep, Problem)
    /// `martlet recover --run-here` at the destination, confirmed by a person: the source is gone for good.
    case runHere
    /// The session is asked to end (agent stops). Before `ready` it discards; after that it stays.
    case interrupted
}

/// Verbs for the destination's doers; as with the source, messages and records keep their order.
public enum DestinationAction: Hashable, Sendable {
    case enter(Phase)
    case note(String)
    case send(PeerMessage)
    case journal(JournalRecord)
    case startTimer(DestinationTimer, Duration)
    case stopTimer(DestinationTimer)

    /// Look for blockers → `checked`.
    case check(Offer)
    /// Session folder, bundle, store, network namespace; take files and pages from now on → `prepared`.
    case prepare(PrepareOrder)
    /// End earlier connections, wait until what came on them has landed; compare hashes from now on → `resumed`.
    case resume(Resumption)
    /// `runc restore` up to the held request → `restoreHeld`.
    case startRestore
    /// The source's port is closed: close ours again, announce the address. No event.
    case takeAddress
    /// Wait for images, files and every stream's mark, patch the page maps, release the restore → `restored`.
    case releaseRestore(Shipped)
    /// cgroup.freeze=0, open the port, inject captured frames → `thawed`. Harmless when it runs already.
    case thaw
    /// Complete the memory (after a restart: go on) → `filled`.
    case startFill
    /// Stop whatever is in flight, kill the held copy, wait, unmount criu-root, delete, remove cgroup and session
    /// → `discarded`. Never asked after `released`.
    case discard
    /// Remove store, images and session folder → `cleaned`.
    case clean
    /// The last action.
    case finish(Ending)
}

public enum DestinationStep: Hashable, Sendable {
    case check, prepare, receive, resume, startRestore, restore, thaw, fill, discard, clean
    case journal(JournalRecord.Kind)
}

public enum DestinationTimer: String, Hashable, Sendable, CaseIterable {
    /// Ready and nothing heard: say `ready` again.
    case verdict
    /// A step failed that can't be given up: try it again.
    case again
    /// Filled and no `bye`.
    case bye
    /// The source was lost while it copied, and did not come back.
    case returning
}
