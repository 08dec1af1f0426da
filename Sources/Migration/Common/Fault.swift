import Model
import Glibc
import Host
import Plan
import Synchronization

/// Faults made on purpose, for the tests that walk through `FailurePoint.all` and for nobody else.
///
/// The source takes the point from MARTLET_FAULT, a session from /run/martlet/fault, which only root can write and which
/// is removed when it was read. Without them every question is answered by one comparison with nil.
enum Fault {
    static let file = "\(Places.runtime)/fault"

    private static let point: FailurePoint? = {
        let command = CommandLine.arguments.dropFirst().first
        // Not for the guardian, which inherits our environment and has to settle what the fault left.
        if command == "migrate", let text = getenv("MARTLET_FAULT") { return try? FailurePoint.parse(String(cString: text)) }
        guard command == "internal-session", let text = try? FileIO.readLine(file) else {
            return nil
        }
        unlink(file)
        return try? FailurePoint.parse(text)
    }()

    private static let hooks = Mutex<[FailurePoint.What: @Sendable () -> Void]>([:])
    /// What stays wrong once its phase was reached.
    private static let active = Mutex<FailurePoint.What?>(nil)

    /// Registers how a fault is made that only its owner can make, such as killing its CRIU.
    static func register(_ what: FailurePoint.What, _ body: @escaping @Sendable () -> Void) {
        guard point != nil else { return }
        hooks.withLock { $0[what] = body }
    }

    /// A role entered a phase.
    static func reached(_ role: Role, _ phase: Phase) {
        guard let point else { return }
        guard point.hit(role, phase) else {
            // A fault belongs to its phase; the next one is well again.
            active.withLock { $0 = nil }
            return
        }
        logLine("fault: \(point)")
        switch point.what {
        case .kill: Glibc.kill(getpid(), SIGKILL)
        case .fail, .hang, .failJournal: active.withLock { $0 = point.what }
        case .killCriu, .killKeeper, .killAgent, .cutLink: hooks.withLock { $0[point.what] }?()
        }
    }

    /// Whether the action at hand has to fail: `fail`, or for journal writes `failJournal`.
    static func isActive(_ what: FailurePoint.What) -> Bool {
        guard point != nil else { return false }
        return active.withLock { $0 == what }
    }
}
