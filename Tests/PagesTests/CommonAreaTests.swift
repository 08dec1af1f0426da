import Host
import Model
import Testing
@testable import Pages

@Suite struct CommonAreaTests {
    private func map(_ lines: [String]) -> MemoryMap { MemoryMap(lines.joined(separator: "\n") + "\n") }

    private static let parent = [
        "7f0000000000-7f0000100000 rw-p 00000000 00:00 0",
        "7f0000200000-7f0000300000 rw-p 00000000 00:00 0",
        "7f0000400000-7f0000500000 r--p 00000000 00:00 0",
        "7ffd2b1c4000-7ffd2b1e5000 rw-p 00000000 00:00 0                          [stack]",
    ]

    @Test func `areas at the same addresses belong together, whatever their bounds became`() {
        let child = [
            "7f0000000000-7f0000080000 rw-p 00000000 00:00 0",
            "7f0000080000-7f00000c0000 rw-p 00000000 00:00 0",
            "7f0000280000-7f0000380000 rw-p 00000000 00:00 0",
        ]
        let found = CommonAreas.of([(SpaceID(1), map(Self.parent)), (SpaceID(2), map(child))])
        #expect(
            found == [
                CommonArea(start: 0x7f00_0000_0000, end: 0x7f00_0010_0000, spaces: [SpaceID(1), SpaceID(2)]),
                CommonArea(start: 0x7f00_0020_0000, end: 0x7f00_0030_0000, spaces: [SpaceID(1), SpaceID(2)]),
            ])
    }

    @Test func `a stack, what can't be written, and what one process alone has is not in common`() {
        let other = ["7f1000000000-7f1000100000 rw-p 00000000 00:00 0", Self.parent[2], Self.parent[3]]
        #expect(CommonAreas.of([(SpaceID(1), map(Self.parent)), (SpaceID(2), map(other))]).isEmpty)
        #expect(CommonAreas.of([(SpaceID(1), map(Self.parent))]).isEmpty)
    }

    @Test func `what two lists have in common`() {
        let a = [PageRun(start: 0x1000, count: 4), PageRun(start: 0x8000, count: 1)]
        let b = [PageRun(start: 0x2000, count: 1), PageRun(start: 0x4000, count: 9)]
        #expect(
            RunList.common(a, b) == [
                PageRun(start: 0x2000, count: 1), PageRun(start: 0x4000, count: 1), PageRun(start: 0x8000, count: 1),
            ])
        #expect(RunList.sorted([a[1], a[0], PageRun(start: 0x5000, count: 3)]) == [PageRun(start: 0x1000, count: 8)])
    }
}
