import Glibc
import Host
import Model
import Pages
import Testing

/// Programs that write in every way, followed by each kind of tracker, and compared byte by byte at the end.
@Suite(.serialized, .tags(.root)) struct TortureTests {
    /// All, or those named by MARTLET_TORTURE (separated by commas), to look into one.
    static let modes = getenv("MARTLET_TORTURE").map { String(cString: $0).split(separator: ",").map(String.init) } ?? allModes
    private static let allModes = [
        "anon", "zero", "aba", "dontneed", "churn", "brk", "stack", "file", "thp", "guard", "threads", "leaderless", "fork",
        "exec", "signals", "racers", "kernel", "kinds",
    ]
    static let kinds = TrackerKind.allCases.filter { $0.probe().isAvailable }

    @Test(arguments: modes, kinds) func `every copy is right after the final round`(_ mode: String, _ kind: TrackerKind) throws {
        try follow([mode], kind, .privateMemory, for: .milliseconds(600))
    }

    /// What a container gives up: system calls beside a list, root, the host's users.
    private static let confinements = ["seccomp", "nobody", "userns"]

    /// Those whose processes and threads come and go, by themselves; all others in the container of all programs.
    @Test(arguments: ["threads", "leaderless", "fork", "exec", "signals"].filter { modes.contains($0) }, confinements)
    func `a confined program is followed like any other`(_ mode: String, _ confined: String) throws {
        try follow([mode], .best(), .privateData, for: .milliseconds(250), confined: confined)
    }

    @Test(arguments: kinds, confinements)
    func `a confined container of all programs at once is copied right`(_ kind: TrackerKind, _ confined: String) throws {
        try follow(TortureTests.modes, kind, .privateMemory, for: .milliseconds(1500), confined: confined)
    }

    @Test(arguments: kinds) func `a container of all programs at once is copied right`(_ kind: TrackerKind) throws {
        try follow(TortureTests.modes, kind, .privateAnonymous, for: .milliseconds(2500))
    }

    @Test(arguments: kinds)
    func `the final round reports every present page of shared memory, because write calls leave no trace`(_ kind: TrackerKind)
        throws
    {
        try follow(["shared"], kind, .all, for: .milliseconds(600))
    }

    private func follow(
        _ modes: [String], _ kind: TrackerKind, _ scope: TrackerScope, for duration: Duration, confined: String? = nil
    ) throws {
        let container = try TestContainer()
        defer { container.remove() }
        let cgroup = container.cgroup
        for mode in modes { try container.start(mode, confined: confined) }
        let tracker = try ContainerTracker(kind: kind, scope: scope) { () throws(SystemError) in try cgroup.processes() }
        let shadow = Shadow()
        let mustAttach = kind == .writeProtect && !modes.contains("fork") && !modes.contains("exec")
        let end = MonotonicInstant.now + duration, patience = end + .seconds(20)
        var rounds = 0, attached = false
        // On a host that stands still for a while a program may take several attempts to attach.
        while end.remaining > .zero || mustAttach && !attached && patience.remaining > .zero {
            let round = try tracker.round()
            try shadow.feed(round, tracker)
            rounds += 1
            attached = round.spaces.count >= modes.count && round.spaces.allSatisfy { $0.untracked == nil }
            sleepThread(.milliseconds(15))  // lets the programs write something between the rounds
        }
        try container.freezer.freeze()
        let last = try tracker.finalRound()
        try shadow.feed(last, tracker)
        let live = try tracker.livePages()
        let report = try shadow.compare(live, tracker, scope)
        #expect(
            report.problems.isEmpty,
            "\(modes) \(confined ?? "unconfined") by \(kind.rawValue), \(rounds) rounds, \(report.pages) pages, final \(last.pageCount.rawValue)"
        )
        #expect(report.pages > 0)
        if mustAttach {
            #expect(last.spaces.allSatisfy { $0.untracked == nil }, "\(last.spaces.compactMap(\.untracked))")
        }
        // The programs check their memory themselves: they must be able to go on.
        try container.freezer.thaw()
        sleepThread(.milliseconds(20))
        #expect(try container.ended() == [])
        tracker.detach()
        sleepThread(.milliseconds(20))
        #expect(try container.ended() == [])
    }
}
