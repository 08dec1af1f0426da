import Glibc
import Host
import Model
import Plan
import Synchronization

/// Takes processor time from the container in the rounds (`--auto-converge`) and gives it back.
///
/// What was before is on disk before anything is taken, so that whoever recovers gives back the same: the guardian a second after
/// this process died, or `martlet recover`.
final class ProcessorThrottle: Sendable {
    private let migration: MigrationID
    private let cgroup: Cgroup
    private let quota: ProcessorQuota?
    private let before = Mutex<ProcessorQuota.Setting?>(nil)

    init(_ migration: MigrationID, _ cgroup: Cgroup, pid: Int32) {
        (self.migration, self.cgroup) = (migration, cgroup)
        quota = try? ProcessorQuota.of(cgroup, process: pid)
    }

    /// What stands in the way of `--auto-converge`.
    static func finding(_ cgroup: Cgroup, pid: Int32) -> Finding? {
        guard (try? ProcessorQuota.of(cgroup, process: pid)) == nil else { return nil }
        return Finding(
            .blocker, code: "quota-missing", role: .source, what: "limit the container's processor time",
            why: "its cgroup \(cgroup.path) has no cpu.max, and it is in no cgroup of its own that has cpu.cfs_quota_us",
            hint: "leave out --auto-converge, or hand the cpu controller to the cgroup (cgroup.subtree_control)")
    }

    /// From now on the container gets this much.
    func take(_ step: ThrottleStep) throws {
        guard let quota else { throw TransferProblem("the container's cgroup can't be limited") }
        if before.withLock({ $0 == nil }) {
            let setting = try quota.setting()
            try FileIO.writeAtomically(JSON.encode(setting), to: Self.note(migration))
            before.withLock { $0 = setting }
        }
        try quota.set(quota: step.quotaUS, period: step.periodUS)
    }

    /// Whether something is taken.
    var isOn: Bool { before.withLock { $0 != nil } }

    /// Harmless when nothing was taken.
    func giveBack() throws {
        guard isOn else { return }
        try Self.giveBack(of: migration)
        before.withLock { $0 = nil }
    }

    /// By whoever finds the note of an attempt; harmless when there is none.
    static func giveBack(of migration: MigrationID) throws {
        guard let bytes = try FileIO.readIfPresent(note(migration)) else { return }
        try JSON.decode(ProcessorQuota.Setting.self, from: bytes).restore()
        unlink(note(migration))
    }

    private static func note(_ migration: MigrationID) -> String { "\(Places.durable(migration))/processors.json" }

    // MARK: - What the container uses

    /// Processors that it kept busy between two moments; nil where that isn't known.
    func processors(since start: Moment) -> Double? {
        guard let before = start.used, let now = ProcessorQuota.used(by: cgroup) else { return nil }
        let took = start.at.elapsed.inMilliseconds * 1000
        return took > 0 ? Double(now - before) / took : nil
    }

    struct Moment {
        var at = MonotonicInstant.now
        var used: Int64?
    }

    func moment() -> Moment { Moment(used: ProcessorQuota.used(by: cgroup)) }
}
