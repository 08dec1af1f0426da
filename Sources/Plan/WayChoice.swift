public import Model

/// The best ways that two hosts can go together, within what the person asked for.
///
/// Both sides come to the same from the same facts: the destination to judge what it needs, the source to go. A pure
/// function, so that every combination is tested without a host.
public struct WayChoice: Hashable, Sendable {
    /// Nil if there is none: then `findings` has the blocker.
    public var ways: Ways?
    /// The method that goes with it: a dump with all memory leaves nothing to rounds.
    public var method: Method
    /// Blockers, and a warning for every way that is slower than the best one.
    public var findings: [Finding]

    public init(_ options: MigrationOptions, source: Capabilities, destination: Capabilities) {
        method = options.method
        findings = []
        ways = nil
        if let why = destination.missing[.library] {
            findings.append(Self.unheld(destination, why))
        }
        let candidates = Candidate.all.filter { $0.isWanted(options) }
        let obstacles = candidates.map { $0.obstacle(options, source, destination) }
        let tracker = chooseTracker(options, source)
        guard let index = obstacles.firstIndex(of: nil) else {
            findings.append(Self.impossible(options, zip(candidates, obstacles).compactMap { $1 }))
            return
        }
        let chosen = candidates[index]
        if index > 0 { findings.append(Self.slower(chosen, obstacles[..<index].compactMap { $0 })) }
        let isLazy = chosen.restore == .faultServer
        if chosen.dump == .full { method = .stopCopy }
        guard !findings.contains(where: \.isBlocker) else { return }
        ways = Ways(dump: chosen.dump, restore: chosen.restore, tracker: isLazy ? tracker : nil)
    }

    /// Forced, or the best that the source's kernel has; a hash needs nothing.
    private mutating func chooseTracker(_ options: MigrationOptions, _ source: Capabilities) -> Ways.Tracker {
        let wanted = Ways.Tracker(rawValue: options.tracker.rawValue)
        if let wanted {
            if let ability = wanted.ability, let why = source.missing[ability] {
                findings.append(
                    Finding(
                        .blocker, code: "way-impossible", role: .source,
                        what: "--tracker \(wanted.rawValue) can't be done on \(source.host)", why: why,
                        hint: "leave out --tracker: the best one is found by itself"))
            }
            return wanted
        }
        let best = Ways.Tracker.allCases.first { $0.ability.map { source.missing[$0] == nil } ?? true } ?? .contentHash
        if best != .writeProtect, options.method.hasRounds {
            findings.append(
                Finding(
                    .warning, code: "slower-tracker", role: .source,
                    what: "on \(source.host) dirty pages are found \(best.words)",
                    why: source.missing[.writeProtect] ?? "the kernel has nothing better",
                    hint: "Linux 6.7 or newer has write protection that costs next to nothing"))
        }
        return best
    }

    private static func unheld(_ destination: Capabilities, _ why: String) -> Finding {
        Finding(
            .blocker, code: "restore-unheld", role: .destination,
            what: "a restore can't be held on \(destination.host): \(why)",
            why: "without the hold the copy would run before the source has decided: two containers",
            hint: "install a dynamically linked CRIU there, and Martlet with its libraries")
    }

    private static func impossible(_ options: MigrationOptions, _ obstacles: [String]) -> Finding {
        Finding(
            .blocker, code: "way-impossible", role: .source,
            what: "no way to move the memory as it was asked for" + asked(options), why: obstacles.joined(separator: "; "),
            hint: "leave out --dump and --restore, or --method auto: the best way is found by itself")
    }

    private static func asked(_ options: MigrationOptions) -> String {
        var words: [String] = []
        if options.method != .auto { words.append("--method \(options.method.rawValue)") }
        if options.dumpWay != .auto { words.append("--dump \(options.dumpWay.rawValue)") }
        if options.restoreWay != .auto { words.append("--restore \(options.restoreWay.rawValue)") }
        return words.isEmpty ? "" : " (\(words.joined(separator: " ")))"
    }

    private static func slower(_ chosen: Candidate, _ obstacles: [String]) -> Finding {
        Finding(
            .warning, code: "slower-way", role: .source,
            what: "memory goes a slower way: dump \(chosen.dump.words), \(chosen.restore.words)",
            why: obstacles.joined(separator: "; "),
            hint: chosen.dump == .full
                ? "all memory travels in the freeze, and the container stands still as long"
                : "about 0.1 s more downtime for each GB")
    }
}

/// A dump and a restore that fit together.
private struct Candidate {
    var dump: Ways.Dump
    var restore: Ways.Restore

    /// Best first.
    static let all = [
        Candidate(dump: .hidden, restore: .faultServer), Candidate(dump: .lazy, restore: .faultServer),
        Candidate(dump: .full, restore: .images),
        // Only where asked for by a method's name.
        Candidate(dump: .pageServer, restore: .images), Candidate(dump: .pageServer, restore: .faultServer),
    ]

    func isWanted(_ options: MigrationOptions) -> Bool {
        guard options.method.usesPageServer == (dump == .pageServer) else { return false }
        if dump == .pageServer { return (options.method == .preCopyPageServer) == (restore == .faultServer) }
        return (options.dumpWay == .auto || options.dumpWay.rawValue == dump.rawValue)
            && (options.restoreWay == .auto || options.restoreWay.rawValue == restore.rawValue)
    }

    /// - Returns: what stands in the way, in words.
    func obstacle(_ options: MigrationOptions, _ source: Capabilities, _ destination: Capabilities) -> String? {
        if dump == .hidden || dump == .pageServer && restore == .faultServer,
            let why = source.missing[.library] ?? source.missing[.hiding]
        {
            return "pages can't be hidden from CRIU on \(source.host): \(why)"
        }
        if restore == .faultServer, let why = destination.missing[.userfaultfd] ?? destination.missing[.lazyPages] {
            return "memory can't be filled in later on \(destination.host): \(why)"
        }
        if dump == .full, options.method.hasRounds || options.method == .postCopy, options.method != .auto {
            return "a dump with all memory leaves nothing for \(options.method.rawValue) to do"
        }
        return nil
    }
}

extension Ways.Tracker {
    /// What it needs of the source's kernel.
    fileprivate var ability: Ability? {
        switch self {
        case .writeProtect: .writeProtect
        case .softDirty: .softDirty
        case .contentHash: nil
        }
    }
}
