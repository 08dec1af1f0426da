import Model
import Testing

@testable import Containers

/// Images made by hand, line by line, as CRIU 4.2 writes them.
@Suite struct ImageTests {
    static func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32($0 * 8)) } }
    static func image(_ kind: ImageFile.Kind, _ entries: [[UInt8]]) -> [UInt8] {
        (kind == .inventory ? [] : word(ImageFile.commonMagic)) + word(kind.rawValue)
            + entries.flatMap { word(UInt32($0.count)) + $0 }
    }
    static func entry(_ address: UInt64, _ pages: UInt64, _ flags: UInt64) -> [UInt8] {
        var w = ProtobufWriter()
        w.field(1, address)
        w.field(2, UInt64(0))  // compat_nr_pages
        w.field(4, flags)
        w.field(5, pages)
        return w.bytes
    }
    static let map = image(
        .pageMap, [[0x08, 0x03], entry(0x7f00_0000_0000, 2, 6), entry(0x7f00_0010_0000, 1, 4), entry(0x7f00_0020_0000, 9, 2)])

    @Test func `a page map tells runs, flags and its pages file`() throws {
        let map = try PageMapImage(name: "pagemap-1.img", bytes: Self.map)
        #expect(map.pagesID == 3)
        #expect(map.entries.map(\.run.count) == [2, 1, 9])
        #expect(map.entries[0].flags == [.lazy, .present])
        #expect(map.presentPages == PageCount(3))
    }

    @Test func `lazy and present becomes present, and nothing else changes`() throws {
        var bytes = Self.map
        #expect(try PageMapImage.makePresent(name: "pagemap-1.img", bytes: &bytes) == 1)
        #expect(try PageMapImage(name: "x", bytes: bytes).entries.map(\.flags) == [.present, .present, .lazy])
        #expect(zip(bytes, Self.map).filter { $0 != $1 }.count == 1)
        #expect(try PageMapImage.makePresent(name: "pagemap-1.img", bytes: &bytes) == 0)
    }

    @Test func `a page map is written as it is read`() throws {
        let map = try PageMapImage(name: "x", bytes: Self.map)
        #expect(try PageMapImage(name: "x", bytes: map.encoded()) == map)
        let large = PageMapImage(
            pagesID: 70_000, entries: [.init(run: PageRun(start: 0x7fff_ffff_e000, count: 1), flags: .present)])
        #expect(try PageMapImage(name: "x", bytes: large.encoded()) == large)
    }

    @Test func `every cut and every flipped byte of a page map is harmless`() {
        for count in 0..<Self.map.count { _ = try? PageMapImage(name: "x", bytes: Array(Self.map[..<count])) }
        for index in Self.map.indices {
            for value in [UInt8](0...255) where index < 60 {
                var bytes = Self.map
                bytes[index] = value
                _ = try? PageMapImage(name: "x", bytes: bytes).presentPages
                _ = try? PageMapImage.makePresent(name: "x", bytes: &bytes)
            }
        }
        #expect(throws: ImageError.self) { try PageMapImage(name: "x", bytes: Array(Self.map.dropLast())) }
    }

    @Test func `sums that would overflow are refused`() {
        let bytes = Self.image(.pageMap, [[0x08, 0x01]] + (0..<8).map { Self.entry($0 << 40, 1 << 34, 4) })
        #expect(throws: ImageError.self) { try PageMapImage(name: "x", bytes: bytes) }
    }

    @Test func `the tree lists tasks by the container's own numbers`() throws {
        let bytes = Self.image(
            .processTree,
            [
                [0x08, 0x01, 0x10, 0x00, 0x18, 0x01, 0x20, 0x01, 0x28, 0x01, 0x28, 0x05],  // 1, threads 1 and 5
                [0x08, 0x07, 0x10, 0x01, 0x18, 0x01, 0x20, 0x01, 0x28, 0x07],
            ])
        let tree = try ProcessTreeImage(bytes: bytes)
        #expect(tree.tasks.map(\.pid) == [1, 7])
        #expect(tree.tasks[0].threads == [1, 5])
        #expect(tree.tasks[1].parent == 1)
    }

    @Test func `an external log is opened for appending, unchecked`() throws {
        func regular(flags: UInt64, external: Bool) -> [UInt8] {
            var w = ProtobufWriter()
            w.field(1, UInt64(2))
            w.field(2, flags)
            w.field(3, UInt64(1000))  // pos
            w.field(5, bytes: [0x08, 0x00])  // fown
            w.field(6, "file[52:1f]")
            w.field(8, UInt64(1000))  // size
            if external { w.field(9, true) }
            w.field(10, UInt64(0o100644))  // mode
            return w.bytes
        }
        func file(_ regular: [UInt8]) -> [UInt8] {
            var w = ProtobufWriter()
            w.field(1, UInt64(1))
            w.field(2, UInt64(2))
            w.field(3, bytes: regular)
            return w.bytes
        }
        let inside = Self.image(.files, [file(regular(flags: 0o100001, external: false))])
        #expect(try FilesImage.relaxExternalFiles(inside) == nil)
        let outside = Self.image(.files, [file(regular(flags: 0o100001, external: true))])
        var expected = ProtobufWriter()
        expected.field(1, UInt64(2))
        expected.field(2, UInt64(0o102001))  // O_WRONLY | O_LARGEFILE | O_APPEND
        expected.field(3, UInt64(1000))
        expected.field(5, bytes: [0x08, 0x00])
        expected.field(6, "file[52:1f]")
        expected.field(9, true)
        #expect(try FilesImage.relaxExternalFiles(outside) == Self.image(.files, [file(expected.bytes)]))
    }

    @Test func `a skeleton has no page of a hidden range`() throws {
        let map = try PageMapImage(name: "x", bytes: Self.map)
        let elsewhere = SkeletonCheck(maps: [1: map], hidden: [1: [0x1000..<0x2000, 0x7f00_0020_0000..<0x7f00_0020_9000]])
        #expect(elsewhere.isSkeleton && elsewhere.dumped == PageCount(3))
        let within = SkeletonCheck(maps: [1: map], hidden: [1: [0x7f00_0000_1000..<0x7f00_0010_1000]])
        #expect(within.unexpected == PageCount(2) && !within.isSkeleton)
    }
}
