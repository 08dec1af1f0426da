import Model
import Testing

@testable import Containers

@Suite struct CommonTableTests {
    private func area(_ start: UInt64, _ end: UInt64, protection: UInt64, flags: UInt64, status: UInt64) -> [UInt8] {
        var w = ProtobufWriter()
        for (number, value) in [(1, start), (2, end), (3, 0), (4, 0), (5, protection), (6, flags), (7, status)] {
            w.field(number, value)
        }
        return w.bytes
    }

    @Test func `private areas come in the order in which CRIU maps them`() throws {
        var memory = ProtobufWriter()
        memory.field(1, UInt64(0x400000))
        for body in [
            area(0x40_0000, 0x40_1000, protection: 5, flags: 2, status: 1 | 1 << 6),  // a file's code
            area(0x50_0000, 0x52_0000, protection: 3, flags: 0x22, status: 1 | 1 << 9 | 1 << 5),  // the heap
            area(0x60_0000, 0x62_0000, protection: 3, flags: 0x4022, status: 1 | 1 << 9),  // without reserve
            area(0x70_0000, 0x71_0000, protection: 3, flags: 0x21, status: 1 | 1 << 8),  // shared
            area(0x80_0000, 0xa0_0000, protection: 3, flags: 0x40022, status: 1 | 1 << 9),  // huge pages
            area(0xb0_0000, 0xb1_0000, protection: 3, flags: 0x122, status: 1 | 1 << 9 | 1 << 1),  // a stack
            area(0xc0_0000, 0xc1_0000, protection: 1, flags: 2, status: 1 | 1 << 12),  // [vvar]
        ] { memory.field(14, bytes: body) }
        let image = try MemoryImage(name: "mm-1.img", bytes: ImageTests.image(.memory, [memory.bytes]))
        #expect(
            image.privateAreas == [
                .init(start: 0x40_0000, end: 0x40_1000, isPlain: false), .init(start: 0x50_0000, end: 0x52_0000, isPlain: true),
                .init(start: 0x60_0000, end: 0x62_0000, isPlain: true), .init(start: 0xb0_0000, end: 0xb1_0000, isPlain: false),
            ])
    }

    @Test func `the table is laid out as the library reads it`() {
        let table = CommonTable(
            arena: 0x7000, regions: [.init(start: 0x1000, end: 0x9000, offset: 0x2000)],
            processes: [
                (pid: 1, areas: [.init(start: 0x1000, end: 0x9000, region: 0), .init(start: 0xa000, end: 0xb000)]),
                (pid: 7, areas: [.init(start: 0x1000, end: 0x9000, region: 0, drops: [PageRun(start: 0x3000, count: 2)])]),
            ])
        let words = table.encoded().withUnsafeBytes { Array($0.bindMemory(to: UInt64.self)) }
        #expect(
            words == [
                0x7000, 1, 2, 3, 1,  // head
                0x1000, 0x9000, 0x2000,  // regions
                1, 0, 2, 7, 2, 1,  // processes
                0x1000, 0x9000, 0, 0, 0, 0xa000, 0xb000, .max, 0, 0, 0x1000, 0x9000, 0, 0, 1,  // areas
                0x3000, 0x5000,  // dropped
            ])
    }
}
