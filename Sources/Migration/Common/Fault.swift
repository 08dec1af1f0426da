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
    /// There while a role is held (`FailurePoint.What.hold`).
    static let held = "\(Places.runtime)/held"

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
    /// What stays wrong once its phase was reached, and how many times more.
    private static let active = Mutex<(what: FailurePoint.What, times: Int)?>(nil)
    private static let journalFailed = Mutex(false)

    /// How long a held role waits at most for its test.
    private static let holdLimit = Duration.seconds(60)

    /// Registers how a fault is made that only its owner can make, such as killing its CRIU.
    static func register(_ what: FailurePoint.What, _ body: @escaping @Sendable () -> Void) {
        guard point != nil else { return }
        hooks.withLock { $0[what] = body }
    }

    /// A role entered a phase.
    static func reached(_ role: Role, _ phase: Phase) {
        guard let point, point.what != .failJournal else { return }
        guard point.hit(role, phase) else {
            // A fault belongs to its phase; the next one is well again.
            active.withLock { $0 = nil }
            return
        }
        logLine("fault: \(point)")
        switch point.what {
        case .kill: Glibc.kill(getpid(), SIGKILL)
        case .fail: active.withLock { $0 = (.fail, 3) }
        case .hang: active.withLock { $0 = (.hang, .max) }
        case .hold: hold()
        case .killCriu, .killKeeper, .killAgent, .cutLink: hooks.withLock { $0[point.what] }?()
        case .failJournal: break
        }
    }

    /// Stands still until the test removes the file that says so.
    private static func hold() {
        try? FileIO.writeAtomically([], to: held)
        let deadline = MonotonicInstant.now + holdLimit
        while FileIO.exists(held), MonotonicInstant.now < deadline { sleepThread(.milliseconds(5)) }
        unlink(held)
    }

    /// Throws if the action at hand has to fail.
    static func check() throws(TransferProblem) {
        guard point != nil else { return }
        let fails = active.withLock { active in
            guard let (what, times) = active, what == .fail, times > 0 else { return false }
            active = (what, times - 1)
            return true
        }
        if fails { throw TransferProblem("made to fail") }
    }

    /// Throws if this record must not reach the disk.
    static func check(_ role: Role, writing kind: JournalRecord.Kind) throws(TransferProblem) {
        guard let point, point.hit(role, writing: kind) else { return }
        let isFirst = journalFailed.withLock { failed in
            defer { failed = true }
            return !failed
        }
        guard isFirst else { return }
        logLine("fault: \(point)")
        throw TransferProblem("made to fail")
    }

    /// Whether the action at hand must not be carried out.
    static var hangs: Bool {
        guard point != nil else { return false }
        return active.withLock { $0?.what == .hang }
    }
}
