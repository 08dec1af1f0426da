import Model
import Testing

@testable import Plan

@Suite struct LeftBehindTests {
    static let table = LeftBehind(spaces: [
        .init(
            space: SpaceID(3), pid: 4711, startTime: 99,
            runs: [PageRun(start: 0x1000, count: 2), PageRun(start: 0x7fff_0000_0000, count: 1)]),
        .init(space: SpaceID(4), pid: 4712, startTime: 100, runs: []),
    ])

    @Test func `a table comes back as it was`() {
        #expect(LeftBehind(decoding: Self.table.encoded) == Self.table)
        #expect(LeftBehind(decoding: LeftBehind(spaces: []).encoded) == LeftBehind(spaces: []))
    }

    @Test func `its bytes are these`() {
        let one = LeftBehind(spaces: [.init(space: SpaceID(3), pid: 5, startTime: 7, runs: [PageRun(start: 0x2000, count: 9)])])
        var expected: [UInt8] = Array("MTLBEHND".utf8) + [1, 0, 0, 0] + [1, 0, 0, 0]  // version, spaces
        expected += [3, 0, 0, 0] + [5, 0, 0, 0] + [7, 0, 0, 0, 0, 0, 0, 0]  // space, pid, start time
        expected += [1, 0, 0, 0] + [0, 0, 0, 0]  // runs, zero
        expected += [0, 0x20, 0, 0, 0, 0, 0, 0] + [9, 0, 0, 0, 0, 0, 0, 0]  // start, pages
        #expect(one.encoded == expected)
    }

    /// A half-written table must not be served as a whole one.
    @Test func `no part of a table is one`() {
        let bytes = Self.table.encoded
        for length in bytes.indices { #expect(LeftBehind(decoding: Array(bytes[..<length])) == nil, "\(length) bytes") }
        #expect(LeftBehind(decoding: bytes + [0]) == nil)
    }
}
