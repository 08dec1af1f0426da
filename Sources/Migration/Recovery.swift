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

    /// - Returns: whether it could not be settled.
    static func settleSource(_ migration: MigrationID, runHere: Bool, reporter: any ProgressReporter) -> Bool {
        let records = JournalFile.read(migration, .source)
        guard let opened = records.first(where: { $0.kind == .opened }), let recovery = opened.recovery else { return false }
        let site = Site(cgroup: recovery.cgroup, container: opened.container, runtimeRoot: "/run/runc")
        let liveness: Liveness = recovery.boot == bootID() ? site.liveness : .gone
        guard let machine = SourceMachine(recovering: records, container: liveness), let address = PeerAddress(opened.peer) else {
            return false
        }
        let mailbox = Mailbox<SourceEvent>()
        do {
            let record = MigrationRecord()
            let link = SourceLink(
                address: address, migration: migration, credentials: try Credentials(), mailbox: mailbox, record: record)
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
            reporter.report(.note("\(opened.container) (\(migration)): \(error)"))
            return true
        }
    }

    private static func tell(_ ending: Ending, _ opened: JournalRecord, _ reporter: any ProgressReporter) {
        let name = "\(opened.container) (migration \(opened.migration))"
        switch ending.outcome {
        case .migrated: reporter.report(.note("\(name): runs at \(opened.peer), the copy here is gone"))
        case .rolledBack: reporter.report(.note("\(name): runs on here"))
        default: reporter.report(.note("\(name): \(ending.problem.map { "\($0.what): \($0.why)" } ?? "not settled")"))
        }
    }

    /// The session settles by itself when the source asks; here it is only made sure that one is there.
    static func settleDestination(_ migration: MigrationID, runHere: Bool, reporter: any ProgressReporter) -> Bool {
        let records = JournalFile.read(migration, .destination)
        let name = "\(records.first?.container ?? "?") (migration \(migration))"
        let settlement = Settlement.of(.destination, records: records, container: .frozen)
        do {
            let door = try UnixSocket.connect(to: Places.door(migration), .stream)
            if runHere {
                try door.send([SessionDoor.Order.runHere.rawValue])
                reporter.report(.note("\(name): told to run here"))
                return false
            }
            reporter.report(.note("\(name): \(settlement.advice)"))
            return settlement == .waitForVerdict
        } catch {
            reporter.report(.note("\(name): its session is gone; starting `martlet agent` (again) settles it"))
            return true
        }
    }
}
