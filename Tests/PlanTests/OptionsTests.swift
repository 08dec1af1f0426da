import Model
import Testing

@testable import Plan

@Suite struct OptionsTests {
    @Test(arguments: ["auto", "stop-copy", "page-server", "pre-copy", "pre-copy-page-server", "post-copy", "hybrid"])
    func `supported methods are parsed`(_ name: String) throws {
        #expect(try Plan.Method.parse(name).rawValue == name)
    }

    @Test(arguments: ["replay"])
    func `known but unsupported methods are refused in words`(_ name: String) {
        let error = #expect(throws: OptionError.self) { try Plan.Method.parse(name) }
        #expect(
            error?.description
                == "--method \(name): this build of Martlet can't do it yet (it can do: auto, stop-copy, page-server, pre-copy, pre-copy-page-server, post-copy, hybrid)"
        )
    }

    @Test func `an unknown method is refused with the known ones`() {
        let error = #expect(throws: OptionError.self) { try Plan.Method.parse("magic") }
        #expect(error?.why == "there is no such method")
    }

    @Test func `the defaults hold no mistake`() { #expect(MigrationOptions().mistakes().isEmpty) }

    static let mistakes: [(String, @Sendable (inout MigrationOptions) -> Void)] = [
        ("--downtime-limit", { $0.downtimeLimit = 0 }),
        ("--strict-limit", { $0.limitIsStrict = true }),
        ("--memory-threshold", { $0.memoryThreshold = ByteCount(-1) }),
        ("--max-rounds", { $0.maxRounds = 0 }),
        ("--streams", { $0.streams = 65 }),
        ("--streams", { $0.streams = 0 }),
        ("--bandwidth", { $0.bandwidth = ByteCount(1) }),
        ("--timeout", { $0.timeout = 0 }),
        ("--nice", { $0.nice = 20 }),
        ("--nice", { $0.nice = -1 }),
        (
            "--auto-converge",
            {
                $0.autoConverge = true
                $0.method = .hybrid
            }
        ),
        (
            "--auto-converge",
            {
                $0.autoConverge = true
                $0.method = .stopCopy
            }
        ),
        ("--method", { $0.method = .replay }),
        (
            "--method",
            {
                $0.method = .hybrid
                $0.allowPostCopy = false
            }
        ),
        (
            "--method",
            {
                $0.method = .postCopy
                $0.allowPostCopy = false
            }
        ),
        (
            "--method",
            {
                $0.method = .hybrid
                $0.restoreWay = .images
            }
        ),
        (
            "--method",
            {
                $0.method = .postCopy
                $0.dumpWay = .full
            }
        ),
        (
            "--method",
            {
                $0.method = .pageServer
                $0.dumpWay = .full
            }
        ),
        (
            "--method",
            {
                $0.method = .preCopyPageServer
                $0.restoreWay = .images
            }
        ),
        (
            "--method",
            {
                $0.method = .preCopy
                $0.dumpWay = .full
            }
        ),
        (
            "--restore",
            {
                $0.dumpWay = .full
                $0.restoreWay = .faultServer
            }
        ),
        (
            "--restore",
            {
                $0.dumpWay = .lazy
                $0.restoreWay = .images
            }
        ),
    ]

    @Test(arguments: mistakes.indices)
    func `each mistake is told by the option's name`(_ index: Int) {
        var options = MigrationOptions()
        Self.mistakes[index].1(&options)
        #expect(options.mistakes().map(\.option) == [Self.mistakes[index].0])
    }

    @Test func `every failure point comes back from its text`() throws {
        #expect(FailurePoint.all.count > 100)
        #expect(FailurePoint.all.allSatisfy { $0.what != .hold })
        let hold = FailurePoint(role: .source, phase: "freeze", what: .hold)
        for point in FailurePoint.all + [hold] { #expect(try FailurePoint.parse(point.description) == point) }
    }

    @Test func `a failure point can name a round`() throws {
        let point = try FailurePoint.parse("source.copy-2.cut-link")
        #expect(point.hit(.source, .copy(round: 2)))
        #expect(!point.hit(.source, .copy(round: 1)))
        #expect(!point.hit(.destination, .copy(round: 2)))
        #expect(try FailurePoint.parse("source.freeze.kill").hit(.source, .freeze))
    }

    @Test func `a failing journal is a matter of the record that announces the phase`() throws {
        let point = try FailurePoint.parse("source.decide.fail-journal")
        #expect(point.hit(.source, writing: .decided))
        #expect(!point.hit(.source, writing: .frozen))
        #expect(!point.hit(.destination, writing: .ready))
        #expect(try FailurePoint.parse("destination.decide.fail-journal").hit(.destination, writing: .ready))
        #expect(try !FailurePoint.parse("source.decide.kill").hit(.source, writing: .decided))
    }

    @Test(arguments: [
        "", "source.freeze", "source.freeze.dance", "moon.freeze.kill", "source.nap.kill", "source.copy-x.kill",
        "source.freeze.kill-agent", "destination.capture.kill", "source.clean.hang",
    ])
    func `a wrong failure point is refused in words`(_ text: String) {
        #expect(throws: OptionError.self) { try FailurePoint.parse(text) }
    }

    @Test(arguments: [
        ("00112233445566778899aabbccddeeff", true), ("00112233445566778899AABBCCDDEEFF", false),
        ("../../../../../../../../../../etc", false), ("", false),
    ])
    func `a migration id is safe as a file name`(_ text: String, _ valid: Bool) {
        #expect((MigrationID(rawValue: text) != nil) == valid)
    }
}
