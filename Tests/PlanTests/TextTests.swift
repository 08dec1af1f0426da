import FoundationEssentials
import Model
import Testing

@testable import Plan

/// Texts that other programs read: they must not change by accident.
@Suite struct TextTests {
    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    static func back<T: Codable>(_ value: T) throws -> T {
        try JSONDecoder().decode(T.self, from: try JSONEncoder().encode(value))
    }

    @Test func `the result has the keys of the contract`() throws {
        let result = MigrationResult(
            outcome: .rolledBack, container: "redis", engine: "runc", method: "pre-copy", source: "alpha",
            destination: "beta", downtimeMS: 0, totalMS: 812.5,
            phases: [PhaseSpan(name: "freeze", startMS: 700, durationMS: 0.25, frozen: true)],
            steps: [
                StepSpan(
                    FrozenStep(name: "thaw", began: 1_800_000, ended: 2_300_000), side: .destination, migrationBegan: 300_000)
            ],
            rounds: [RoundReport(pages: 3, bytesSent: 8192, durationMS: 1.5, dirtyPages: 1)], memoryBytes: 12288,
            bytesSent: 9000, error: Problem(what: "a", why: "b", hint: "c"))
        #expect(
            try Self.json(result)
                == #"{"bytes_sent":9000,"container":"redis","destination":"beta","downtime_ms":0,"engine":"runc","#
                + #""error":{"hint":"c","what":"a","why":"b"},"event":"result","memory_bytes":12288,"method":"pre-copy","#
                + #""outcome":"rolled-back","phases":[{"duration_ms":0.25,"frozen":true,"name":"freeze","start_ms":700}],"#
                + #""rounds":[{"bytes_sent":8192,"dirty_pages":1,"duration_ms":1.5,"pages":3,"same_pages":0,"zero_pages":0}],"#
                + #""source":"alpha","steps":[{"duration_ms":0.5,"name":"thaw","side":"destination","start_ms":1.5}],"total_ms":812.5}"#
        )
    }

    @Test func `a journal record is one line`() throws {
        var record = Sample.record(.aborted, .destination)
        record.at = 1_700_000_000_000
        record.reason = "criu died"
        #expect(
            try Self.json(record)
                == #"{"at":1700000000000,"container":"redis","kind":"aborted","migration":"00112233445566778899aabbccddeeff","#
                + #""peer":"peer","reason":"criu died","role":"destination"}"#)
        #expect(try Self.back(Sample.record(.opened, .source)) == Sample.record(.opened, .source))
    }

    static let messages: [PeerMessage] = [
        .resume(Resumption(number: 2, seed: .max)), .resume(Resumption(number: 1)), .resumed(2),
        .differing([PageRequest(space: SpaceID(3), start: 0x1000, count: 4)]),
        .offer(DestinationMachineTests.offer), .prepare(DestinationMachineTests.prepare), .standBy, .cut,
        .shipped(Sample.shipped), .release, .abort(reason: "r"), .inquire, .bye, .findings(Sample.findings),
        .prepared(DestinationMachineTests.prepared), .standingBy, .ready, .running(Sample.running), .filled,
        .aborted(reason: "r"), .state(.unknown), .state(.preparing), .state(.ready), .state(.aborted(reason: "r")),
        .state(.running(nil)), .state(.running(Sample.running)), .state(.filled), .state(.lost),
        .clock(ClockProbe(asked: 1, answered: 2)), .roundMark(RoundMark(round: 1, streamMarks: [2], landed: true)),
    ]

    @Test(arguments: messages)
    func `every message comes back as it was`(_ message: PeerMessage) throws {
        #expect(try Self.back(message) == message)
    }

    @Test func `messages look plain`() throws {
        #expect(try Self.json(PeerMessage.release) == #"{"message":"release"}"#)
        #expect(try Self.json(PeerMessage.abort(reason: "no")) == #"{"body":{"reason":"no"},"message":"abort"}"#)
        #expect(
            try Self.json(PeerMessage.running(Sample.running))
                == #"{"body":{"pid":7,"steps":[],"thawedAt":1},"message":"running"}"#)
        #expect(try Self.json(PeerMessage.state(.ready)) == #"{"body":{"standing":"ready"},"message":"state"}"#)
    }

    @Test func `an unknown message is named`() {
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(PeerMessage.self, from: Array(#"{"message":"dance"}"#.utf8).data)
        }
    }

    @Test func `phases keep their names and only the middle ones are frozen`() {
        let all: [Phase] = [
            .check, .prepare, .copy(round: 3), .cut, .freeze, .capture, .ship, .restore, .decide, .release, .fill, .clean,
        ]
        #expect(all.map(\.name) == Phase.names)
        #expect(all.filter(\.isFrozen).map(\.name) == ["freeze", "capture", "ship", "restore", "decide", "release"])
        #expect(Phase.copy(round: 3).label == "copy 3")
    }

    @Test func `the timeline measures from the freeze to the run`() {
        var timeline = PhaseTimeline()
        timeline.enter(.check, at: .zero)
        timeline.enter(.freeze, at: .milliseconds(100))
        timeline.enter(.freeze, at: .milliseconds(101))
        timeline.enter(.release, at: .milliseconds(130))
        timeline.ran(at: .milliseconds(140))
        timeline.enter(.fill, at: .microseconds(141_500))
        timeline.finish(at: .milliseconds(200))
        #expect(timeline.downtime == .milliseconds(40))
        #expect(timeline.spans.map(\.name) == ["check", "freeze", "release", "fill"])
        #expect(timeline.spans.map(\.durationMS) == [100, 30, 10, 60])
        #expect(timeline.spans.map(\.frozen) == [false, true, true, false])
    }

    @Test func `the clock offset comes from the fastest probe`() {
        var offset = ClockOffset()
        offset.take(ClockProbe(asked: 1000, answered: 51_000), received: 3000)
        offset.take(ClockProbe(asked: 5000, answered: 54_100), received: 5200)
        offset.take(ClockProbe(asked: 9000, answered: 90_000), received: 19_000)
        #expect(offset.offset == 49_000)
        #expect(offset.atSource(60_000) == 11_000)
    }

    @Test(
        arguments: [
            (Ending(.migrated), 0), (Ending(.checked), 0), (Ending(.refused), 3), (Ending(.rolledBack), 4),
            (Ending(.failed), 5), (Ending(.rolledBack, interrupted: true), 130),
        ] as [(Ending, Int32)])
    func `exit codes follow the contract`(_ ending: Ending, _ code: Int32) {
        #expect(ending.exitCode.rawValue == code)
    }
}

extension [UInt8] {
    fileprivate var data: Data { Data(self) }
}
