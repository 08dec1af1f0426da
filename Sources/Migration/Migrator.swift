import Containers
import Glibc
import Host
import Model
import Pages
public import Plan
import Synchronization
import Wire

/// What `martlet migrate` was asked for.
public struct MigrationRequest: Sendable {
    public var container: String
    public var destination: DestinationAddress
    /// Bring this program to a destination that is reached by ssh.
    public var copiesProgram = false
    public var options: MigrationOptions
    public var runtimeRoot: String

    public init(container: String, destination: DestinationAddress, options: MigrationOptions, runtimeRoot: String) {
        (self.container, self.destination, self.options, self.runtimeRoot) = (container, destination, options, runtimeRoot)
    }
}

/// Moves one container: puts the parts together, runs the source's loop, and tells how it ended.
public enum Migrator {
    public static func migrate(_ request: MigrationRequest, reporter: any ProgressReporter) -> (Ending, MigrationResult) {
        let record = MigrationRecord()
        let interrupts = Interrupts.take()
        do {
            // First: a container that another migration has frozen must not be taken for one that somebody paused.
            let lock = try SourceContainer.isKnown(request) ? ContainerLock(request.container) : nil
            defer { lock?.release() }
            let source = try SourceContainer(request)
            return try run(request, source, reporter, record, interrupts)
        } catch {
            let problem = (error as? Problem) ?? Problem.of(error, what: "migrate \(request.container)")
            record.finish()
            let ending = Ending(.refused, problem: problem)
            return (ending, result(ending, request, record, memory: 0, sent: 0, steps: []))
        }
    }

    private static func run(
        _ request: MigrationRequest, _ source: SourceContainer, _ reporter: any ProgressReporter, _ record: MigrationRecord,
        _ interrupts: Interrupts
    ) throws -> (Ending, MigrationResult) {
        var request = request
        let migration = MigrationID.random()
        let mailbox = Mailbox<SourceEvent>()
        let route = try Route(to: request.destination)
        if case .ssh(let ssh) = route, request.copiesProgram { try ProgramCopy.bring(over: ssh, reporter: reporter) }
        let link = SourceLink(
            address: request.destination, route: route, migration: migration, mailbox: mailbox, record: record,
            expected: request.options.dryRun ? 0 : (request.options.streams ?? StreamCount.usual) + Self.otherConnections)
        let facts = try source.facts(for: request.options)
        // A dry run has nothing to work with, so that it can touch nothing.
        let parts = request.options.dryRun ? nil : try source.parts(migration, request, facts, link, reporter, mailbox)
        let order = SourceOrder(
            migration: migration, peer: request.destination.description, options: request.options,
            container: source.description, capabilities: HostSurvey.capabilities(),
            findings: source.findings(for: request.options),
            recovery: source.recovery(migration, request.options), facts: JSON.text(facts),
            seed: parts?.memory.seed ?? 0, processors: sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        let doers = SourceDoers(
            migration: migration, mailbox: mailbox, link: link, site: source.site, parts: parts,
            nice: request.options.nice)
        let guardian = request.options.dryRun ? nil : try Guardian(migration)
        Fault.register(.killKeeper) { if let guardian { kill(guardian.pid, SIGKILL) } }
        interrupts.deliver { mailbox.post(.interrupted) }

        let meter = ProgressMeter(record: record) { parts?.memory.counters() ?? PassCounters() }
        try meter.start(reporter)
        let ending = SourceRunner(mailbox: mailbox, doers: doers, reporter: reporter, record: record, meter: meter)
            .run(SourceMachine(order))
        meter.stop()
        parts?.exit.stop()
        link.close()
        // In doubt it stays: `recover` reads from it what is frozen here.
        if !ending.needsRecover { Places.clear(migration) }
        // In doubt the guardian has nothing to add: the person was told.
        guardian?.dismiss()
        History.trim()
        if !ending.findings.isEmpty { reporter.report(.findings(ending.findings)) }
        if let parts, record.ways != nil { request.options.method = parts.memory.carriedOut(request.options.method) }
        let result = result(
            ending, request, record, memory: source.description.memory.rawValue, sent: parts?.memory.bytesSent ?? 0,
            steps: doers.steps.steps)
        return (ending, result)
    }

    /// One for images, two for files.
    private static let otherConnections = 3

    private static func result(
        _ ending: Ending, _ request: MigrationRequest, _ record: MigrationRecord, memory: Int, sent: Int,
        steps: [FrozenStep]
    ) -> MigrationResult {
        record.result(
            ending, container: request.container, engine: "runc", method: request.options.method, source: HostSurvey.hostName(),
            destination: request.destination.host, memory: memory, bytesSent: sent, steps: steps)
    }
}

/// Ctrl-C and termination become events; the machine decides what they mean.
///
/// Signals are taken by a thread that waits for them: a handler could call next to nothing. All threads must have them blocked
/// (`block`): the kernel gives a signal to any one that has not, and that one's default is the end of the process.
public final class Interrupts: Sendable {
    private static let signals = [SIGINT, SIGTERM, SIGHUP]
    private let body = Mutex<(@Sendable () -> Void)?>(nil)

    /// Keeps the signals from the calling thread and all that it starts: the program's first step, before the view's thread.
    public static func block() {
        var mask = set()
        pthread_sigmask(SIG_BLOCK, &mask, nil)
    }

    static func take() -> Interrupts {
        let all = Interrupts()
        block()
        _ = try? Host.Thread(named: "signals") { all.wait() }
        return all
    }

    /// From now on. A signal that came before ends the process, behind an injection that is under way: nothing else is touched yet.
    func deliver(_ body: @escaping @Sendable () -> Void) { self.body.withLock { $0 = body } }

    private func wait() {
        var mask = Self.set()
        while true {
            var signal: Int32 = 0
            guard sigwait(&mask, &signal) == 0 else { continue }
            if let body = body.withLock({ $0 }) {
                body()
            } else {
                Injection.end()
                _exit(130)
            }
        }
    }

    private static func set() -> sigset_t {
        var mask = sigset_t()
        sigemptyset(&mask)
        for signal in signals { sigaddset(&mask, signal) }
        return mask
    }
}

/// One migration of a container at a time, on this host.
final class ContainerLock: Sendable {
    private let file: SharedDescriptor

    init(_ container: String) throws {
        try Places.make(Places.locks)
        let path = "\(Places.locks)/\(container)"
        file = SharedDescriptor(try OwnedDescriptor(opening: path, flags: O_RDWR | O_CREAT, mode: 0o600))
        guard flock(file.raw, LOCK_EX | LOCK_NB) == 0 else {
            throw Problem(
                what: "migrate \(container)", why: "another migration of it is under way", hint: "martlet status shows it")
        }
    }

    /// For whoever settles what was interrupted.
    /// - Returns: nil if somebody else holds it all the time.
    static func wait(_ container: String, within limit: Duration) -> ContainerLock? {
        let deadline = MonotonicInstant.now + limit
        while true {
            if let lock = try? ContainerLock(container) { return lock }
            guard deadline.remaining > .zero else { return nil }
            sleepThread(.milliseconds(50))
        }
    }

    func release() { flock(file.raw, LOCK_UN) }
}

extension Problem: Error {}
