import Containers
import Glibc
import Host
import Model
import Plan
import Wire

/// Settles what was interrupted: the guardian's work, and `martlet recover`'s.
public enum Recovery {
    /// - Parameter name: a migration, a container, or nil for all.
    /// - Returns: whether something could not be settled.
    public static func settle(name: String?, runHere: Bool, reporter: any ProgressReporter) -> Bool {
        var failed = false, found = false
        for migration in JournalFile.all() where matches(migration, name) {
            if isOpen(migration, .source) {
                found = true
                failed = settleSource(migration, runHere: runHere, reporter: reporter) || failed
            }
            if isOpen(migration, .destination) {
                found = true
                failed = settleDestination(migration, runHere: runHere, reporter: reporter) || failed
            }
        }
        if !found { reporter.report(.note(name.map { "nothing about \($0) is interrupted" } ?? "nothing is interrupted")) }
        return failed
    }

    private static func matches(_ migration: MigrationID, _ name: String?) -> Bool {
        guard let name else { return true }
        if migration.rawValue == name { return true }
        return [Role.source, .destination].contains { JournalFile.read(migration, $0).first?.container == name }
    }

    static func isOpen(_ migration: MigrationID, _ role: Role) -> Bool {
        let kinds = JournalFile.read(migration, role).map(\.kind)
        guard !kinds.isEmpty, !kinds.contains(.done) else { return false }
        // A destination that aborted has nothing left; one that runs but was not told `bye` has, until it's filled.
        return role == .source || !kinds.contains(.aborted)
    }

    /// How long to wait for whoever works on the same container: the guardian settles in a second or two.
    private static let lockLimit = Duration.seconds(5)

    /// - Returns: whether it could not be settled.
    static func settleSource(_ migration: MigrationID, runHere: Bool, reporter: any ProgressReporter) -> Bool {
        guard let opened = JournalFile.read(migration, .source).first(where: { $0.kind == .opened }) else { return false }
        // Never beside a living migration of the container, nor beside another recovery: both would undo the other's steps.
        guard let lock = ContainerLock.wait(opened.container, within: lockLimit) else {
            reporter.report(
                .note("\(name(opened)): is under way or being settled by another process; `martlet status` shows it"))
            return true
        }
        defer { lock.release() }
        // As of now: the other one may have settled it meanwhile.
        return isOpen(migration, .source) && settleLocked(migration, opened, runHere: runHere, reporter)
    }

    private static func settleLocked(
        _ migration: MigrationID, _ opened: JournalRecord, runHere: Bool, _ reporter: any ProgressReporter
    ) -> Bool {
        let records = JournalFile.read(migration, .source)
        guard let recovery = opened.recovery, let address = try? DestinationAddress(opened.peer),
            let machine = SourceMachine(recovering: records, container: liveness(opened))
        else { return false }
        let site = Site(cgroup: recovery.cgroup, container: opened.container, runtimeRoot: runtimeRoot(migration))
        let mailbox = Mailbox<SourceEvent>()
        do {
            let record = MigrationRecord()
            let link = SourceLink(
                address: address, route: try Route(to: address), migration: migration, mailbox: mailbox, record: record)
            let doers = SourceDoers(migration: migration, mailbox: mailbox, link: link, site: site, parts: nil)
            if runHere {
                mailbox.post(.started)
                mailbox.post(.runHere)
            }
            let ending = SourceRunner(mailbox: mailbox, doers: doers, reporter: reporter, record: record).run(machine)
            link.close()
            tell(ending, opened, reporter)
            return ending.needsRecover
        } catch {
            reporter.report(.note("\(name(opened)): \(error)"))
            return true
        }
    }

    /// What lives here of the container of a migration.
    static func liveness(_ opened: JournalRecord) -> Liveness {
        guard let recovery = opened.recovery, recovery.boot == bootID() else { return .gone }
        return Site(cgroup: recovery.cgroup, container: opened.container, runtimeRoot: "/run/runc").liveness
    }

    private static func runtimeRoot(_ migration: MigrationID) -> String {
        guard let bytes = try? FileIO.read(SourceDoers.note(migration)),
            let facts = try? JSON.decode(SourceFacts.self, from: bytes)
        else { return "/run/runc" }
        return facts.runtimeRoot
    }

    private static func name(_ opened: JournalRecord) -> String { "\(opened.container) (migration \(opened.migration))" }

    private static func tell(_ ending: Ending, _ opened: JournalRecord, _ reporter: any ProgressReporter) {
        let text =
            switch ending.outcome {
            case .migrated: "runs at \(opened.peer), the copy here is gone"
            case .rolledBack:
                "runs on here" + (ending.needsRecover ? "; \(opened.peer) could not be told: run `martlet recover` again" : "")
            default: ending.problem.map { "not settled: \($0.what): \($0.why)" } ?? "not settled"
            }
        reporter.report(.note("\(name(opened)): \(text)"))
    }

    /// The session settles by itself when the source asks; here it is only made sure that one is there.
    static func settleDestination(_ migration: MigrationID, runHere: Bool, reporter: any ProgressReporter) -> Bool {
        let records = JournalFile.read(migration, .destination)
        guard let first = records.first else { return false }
        let settlement = Settlement.of(.destination, records: records, container: liveness(first))
        do {
            let door = try UnixSocket.connect(to: Places.door(migration), .stream)
            if runHere {
                guard settlement == .waitForVerdict else {
                    reporter.report(.note("\(name(first)): there is nothing to choose here: \(settlement.advice)"))
                    return true
                }
                try door.send([SessionDoor.Order.runHere.rawValue])
                reporter.report(.note("\(name(first)): told to run here"))
                return false
            }
            reporter.report(.note("\(name(first)): \(settlement.advice)"))
            if settlement == .waitForVerdict { reporter.report(.note(Doubt.sourceUnreachable.explanation)) }
            return settlement == .waitForVerdict
        } catch {
            reporter.report(
                .note(
                    "\(name(first)): its session is gone; `martlet recover` at the source, or starting `martlet agent` here, settles it: \(settlement.advice)"
                ))
            return true
        }
    }

    /// What `--run-here` would mean for a migration or container of this name: one text for each open journal of which
    /// only a person can say. Empty: there is nothing to choose.
    public static func doubts(name wanted: String) -> [String] {
        JournalFile.all().filter { matches($0, wanted) }.flatMap { migration in
            Role.allCases.filter { isOpen(migration, $0) }.compactMap { role -> String? in
                let records = JournalFile.read(migration, role)
                guard let first = records.first else { return nil }
                return Settlement.of(role, records: records, container: liveness(first)).doubt.map {
                    "\(name(first)), as its \(role.rawValue):\n\($0.explanation)"
                }
            }
        }
    }
}
