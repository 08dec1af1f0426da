public import Model

/// One line of a migration's journal, a JSON object.
///
/// A journal is one append-only file for a migration and a role. A record is on disk (written and fsynced) before
/// its `journalWritten` event is handed to the machine; records keep the order in which they were asked for. A last
/// line that is cut off was never acknowledged and is dropped by the reader. A journal stays after `done` (for
/// `status`, and because a peer that lost its process asks again) and is pruned days later.
public struct JournalRecord: Hashable, Sendable, Codable {
    public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
        /// Both: from here something may have been touched. Carries `recovery`.
        case opened
        /// Source: from here the network may be cut and the cgroup frozen.
        case frozen
        /// Destination: the copy is restored and held, and will not be given up by itself.
        case ready
        /// Source: the commit. It will not thaw by itself any more.
        case decided
        /// Destination: from here the container may run.
        case released
        /// Both: the container runs at the destination.
        case running
        /// Source: it thaws and never decides. Destination: the copy is gone, never ran and never will.
        case aborted
        /// Source: `decided` is void, because the destination durably aborted.
        case revoked
        /// Both: nothing is left to do.
        case done
    }

    public var kind: Kind
    public var migration: MigrationID
    public var role: Role
    /// The container's id in its engine.
    public var container: String
    /// The other host, as given to `--to` at the source, as seen by the agent at the destination.
    public var peer: String
    /// Wall clock, ms since 1970; the doer sets it when it writes, for people only.
    public var at: Int64?
    /// Why, in `aborted`.
    public var reason: String?
    /// In `opened`.
    public var recovery: RecoveryFacts?
    /// In the source's `decided`: whether pages are fetched from the frozen copy after the release.
    public var pagesStayBehind: Bool?

    public init(
        _ kind: Kind, migration: MigrationID, role: Role, container: String, peer: String, at: Int64? = nil,
        reason: String? = nil, recovery: RecoveryFacts? = nil, pagesStayBehind: Bool? = nil
    ) {
        self.kind = kind
        self.migration = migration
        self.role = role
        self.container = container
        self.peer = peer
        self.at = at
        self.reason = reason
        self.recovery = recovery
        self.pagesStayBehind = pagesStayBehind
    }
}

/// What a process that knows nothing else needs to thaw, discard or finish.
public struct RecoveryFacts: Hashable, Sendable, Codable {
    public var engine: String
    /// Paths on the host that wrote the record.
    public var bundle: String
    public var cgroup: String
    /// Folder with images, sockets and logs of this attempt.
    public var session: String
    /// The container's first process at the source, and its start time (field 22 of /proc/PID/stat, clock ticks since
    /// boot), so that a reused pid is not taken for it. Nil at the destination, where it does not exist yet.
    public var pid: Int32?
    public var startTime: UInt64?
    /// `/proc/sys/kernel/random/boot_id`: another one means that no process of the attempt lives.
    public var boot: String
    public var keepSource: Bool

    public init(
        engine: String, bundle: String, cgroup: String, session: String, pid: Int32?, startTime: UInt64?, boot: String,
        keepSource: Bool
    ) {
        self.engine = engine
        self.bundle = bundle
        self.cgroup = cgroup
        self.session = session
        self.pid = pid
        self.startTime = startTime
        self.boot = boot
        self.keepSource = keepSource
    }
}
