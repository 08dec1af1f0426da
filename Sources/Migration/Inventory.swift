import Containers
import Host
public import Model
import Plan

/// What this host has: for `martlet list` and `martlet status`.
public enum Inventory {
    public struct Container: Codable, Sendable {
        public var id: String
        public var engine: String
        public var status: String
        public var bundle: String
        public var pid: Int32
    }

    public struct Migration: Codable, Sendable {
        public var id: String
        public var role: Role
        public var container: String
        public var peer: String
        /// The last record's kind.
        public var standing: String
        public var advice: String
        public var isOver: Bool
        /// What lives here of the container: running, frozen or gone.
        public var lives: String
        /// A process works on it now.
        public var isAlive: Bool
    }

    public static func containers(runtimeRoot: String) throws -> [Container] {
        try RuncRuntime(root: runtimeRoot).list().map {
            Container(id: $0.id, engine: "runc", status: $0.status.rawValue, bundle: $0.bundle, pid: $0.pid)
        }
    }

    public static func migrations() -> [Migration] {
        JournalFile.all().flatMap { migration in
            Role.allCases.compactMap { describe(migration, $0) }
        }
    }

    private static func advice(_ role: Role, _ records: [JournalRecord], _ live: Liveness) -> String {
        let settlement = Settlement.of(role, records: records, container: live)
        if settlement == .run, live == .running { return "the container runs here; its memory is being completed" }
        return settlement.advice
    }

    /// The source's process holds the container's lock; the destination's session answers at its door.
    private static func isWorkedOn(_ migration: MigrationID, _ role: Role, _ container: String) -> Bool {
        switch role {
        case .source:
            guard let lock = try? ContainerLock(container) else { return true }
            lock.release()
            return false
        case .destination:
            do { _ = try UnixSocket.connect(to: Places.door(migration), .stream) } catch { return false }
            return true
        }
    }

    private static func describe(_ migration: MigrationID, _ role: Role) -> Migration? {
        let records = JournalFile.read(migration, role)
        guard let first = records.first, let last = records.last else { return nil }
        let live = Recovery.liveness(first)
        return Migration(
            id: migration.rawValue, role: role, container: first.container, peer: first.peer, standing: last.kind.rawValue,
            advice: advice(role, records, live),
            isOver: !Recovery.isOpen(migration, role), lives: live.rawValue, isAlive: isWorkedOn(migration, role, first.container)
        )
    }
}
