import FoundationEssentials
import Model
import Testing

@testable import Plan

@Suite("The choice of ways") struct WayChoiceTests {
    /// What is asked for, what is missing on either side, and what comes of it.
    struct Case: Sendable, CustomTestStringConvertible {
        var source: Set<Ability> = []
        var destination: Set<Ability> = []
        var method = Plan.Method.auto
        var dump = MigrationOptions.DumpWay.auto
        var restore = MigrationOptions.RestoreWay.auto
        var tracker = MigrationOptions.Tracker.auto
        /// The ways as words, or nil for a refusal.
        var ways: String?
        var codes: [String] = []
        var testDescription: String {
            "\(method) \(dump) \(restore) \(tracker), without \(source.map(\.rawValue)) and \(destination.map(\.rawValue))"
        }

        var choice: WayChoice {
            var options = MigrationOptions()
            (options.method, options.dumpWay, options.restoreWay, options.tracker) = (method, dump, restore, tracker)
            func host(_ name: String, _ missing: Set<Ability>) -> Capabilities {
                Capabilities(
                    host: name, kernel: "6.18", architecture: "x86_64", cpuFeatures: [], criu: "4.2.1", runtime: nil,
                    missing: Dictionary(uniqueKeysWithValues: missing.map { ($0, "no \($0.rawValue)") }), codecs: [],
                    freeMemory: .gibibytes(1))
            }
            return WayChoice(options, source: host("alpha", source), destination: host("beta", destination))
        }
    }

    static let best: [Case] = [
        Case(ways: "hidden fault-server write-protect auto"),
        Case(method: .hybrid, ways: "hidden fault-server write-protect hybrid"),
        Case(method: .stopCopy, ways: "hidden fault-server write-protect stop-copy"),
        Case(method: .pageServer, ways: "page-server images - page-server"),
        Case(destination: [.userfaultfd], method: .pageServer, ways: "page-server images - page-server"),
        Case(source: [.hiding, .library], method: .pageServer, ways: "page-server images - page-server"),
        Case(method: .preCopyPageServer, ways: "page-server fault-server write-protect pre-copy-page-server"),
        Case(method: .postCopy, ways: "hidden fault-server write-protect post-copy"),
        // What only the other side needs is not missed.
        Case(
            source: [.lazyPages, .userfaultfd], destination: [.writeProtect, .hiding],
            ways: "hidden fault-server write-protect auto"),
    ]
    static let forced: [Case] = [
        Case(dump: .hidden, ways: "hidden fault-server write-protect auto"),
        Case(dump: .lazy, ways: "lazy fault-server write-protect auto"),
        Case(dump: .full, ways: "full images - stop-copy"),
        Case(restore: .images, ways: "full images - stop-copy"),
        Case(method: .stopCopy, dump: .full, restore: .images, ways: "full images - stop-copy"),
        Case(tracker: .softDirty, ways: "hidden fault-server soft-dirty auto"),
        Case(source: [.writeProtect, .softDirty], tracker: .contentHash, ways: "hidden fault-server content-hash auto"),
    ]
    static let fallbacks: [Case] = [
        Case(source: [.library], ways: "lazy fault-server write-protect auto", codes: ["slower-way"]),
        Case(source: [.hiding], ways: "lazy fault-server write-protect auto", codes: ["slower-way"]),
        Case(source: [.library], method: .hybrid, ways: "lazy fault-server write-protect hybrid", codes: ["slower-way"]),
        Case(destination: [.userfaultfd], ways: "full images - stop-copy", codes: ["slower-way"]),
        Case(destination: [.lazyPages], ways: "full images - stop-copy", codes: ["slower-way"]),
        Case(source: [.writeProtect], ways: "hidden fault-server soft-dirty auto", codes: ["slower-tracker"]),
        Case(source: [.writeProtect, .softDirty], ways: "hidden fault-server content-hash auto", codes: ["slower-tracker"]),
        // Without rounds nobody waits for a tracker.
        Case(source: [.writeProtect], method: .stopCopy, ways: "hidden fault-server soft-dirty stop-copy"),
    ]
    static let refusals: [Case] = [
        Case(source: [.library], dump: .hidden, codes: ["way-impossible"]),
        Case(destination: [.userfaultfd], restore: .faultServer, codes: ["way-impossible"]),
        Case(destination: [.userfaultfd], dump: .lazy, codes: ["way-impossible"]),
        Case(source: [.hiding], method: .preCopyPageServer, codes: ["way-impossible"]),
        Case(destination: [.userfaultfd], method: .preCopyPageServer, codes: ["way-impossible"]),
        Case(destination: [.userfaultfd], method: .postCopy, codes: ["way-impossible"]),
        Case(destination: [.userfaultfd], method: .hybrid, codes: ["way-impossible"]),
        Case(destination: [.userfaultfd], method: .preCopy, codes: ["way-impossible"]),
        Case(destination: [.library], codes: ["restore-unheld"]),
        Case(source: [.softDirty], tracker: .softDirty, codes: ["way-impossible"]),
    ]

    @Test(arguments: best + forced + fallbacks + refusals)
    func `the best way that both can go is chosen, and what is slower or impossible is told`(_ one: Case) {
        let choice = one.choice
        let found = choice.ways.map {
            "\($0.dump.rawValue) \($0.restore.rawValue) \($0.tracker?.rawValue ?? "-") \(choice.method.rawValue)"
        }
        #expect(found == one.ways)
        #expect(choice.findings.map(\.code) == one.codes)
        #expect(choice.findings.contains(where: \.isBlocker) == (one.ways == nil))
        for finding in choice.findings { #expect(!finding.what.isEmpty && !finding.why.isEmpty && !finding.hint.isEmpty) }
        // Each missing thing that decided something is named.
        for ability in one.source.union(one.destination) where choice.findings.contains(where: { $0.code == "slower-way" }) {
            #expect(choice.findings.contains { $0.why.contains("no \(ability.rawValue)") })
        }
    }

    @Test func `what is missing survives the wire`() throws {
        var host = Sample.host
        host.missing = [.library: "static", .lazyPages: "old kernel"]
        let bytes = try JSONEncoder().encode(host)
        #expect(String(decoding: bytes, as: UTF8.self).contains("\"lazy-pages\":\"old kernel\""))
        #expect(try JSONDecoder().decode(Capabilities.self, from: bytes) == host)
    }
}
