import Model
import Testing

@testable import Wire

@Suite struct FrameTests {
    @Test func `a frame header has its golden bytes`() {
        let header = FrameHeader(kind: .pages, codec: .lz4, payloadLength: 0x1234, space: 7, count: 3, address: 0x7f00_0000_1000)
        let golden: [UInt8] =
            [0x01]  // pages
            + [0x01]  // lz4
            + [0x00, 0x00]
            + [0x34, 0x12, 0x00, 0x00]  // payload of 0x1234 bytes
            + [0x07, 0x00, 0x00, 0x00]  // address space 7
            + [0x03, 0x00, 0x00, 0x00]  // 3 pages
            + [0x00, 0x10, 0x00, 0x00, 0x00, 0x7f, 0x00, 0x00]  // at 0x7f0000001000
        #expect(frame(header) == golden)
        #expect(throws: Never.self) { try golden.withUnsafeBytes { try FrameHeader(decoding: $0) } == header }
    }

    /// One frame of each kind.
    static let everyKind: (bytes: [UInt8], events: [RecordingSink.Event]) = {
        var seeded = Seeded(1)
        let content = seeded.noise(3 * pageSize)
        let blob = seeded.noise(10_000)
        let live: [UInt8] =
            [0, 0x10, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]  // 2 pages at 0x1000
            + [0, 0, 0x10, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]  // 9 pages at 0x100000
        let bytes =
            frame(FrameHeader(kind: .pages, payloadLength: 12288, space: 1, count: 3, address: 0x5000), content)
            + frame(FrameHeader(kind: .warm, payloadLength: 100), [UInt8](repeating: 9, count: 100))
            + frame(FrameHeader(kind: .zero, space: 2, count: 70_000, address: 0x10_0000))
            + frame(FrameHeader(kind: .live, payloadLength: 32, space: 2, count: 2), live)
            + frame(FrameHeader(kind: .live, space: 3))
            + frame(FrameHeader(kind: .held, payloadLength: 24, space: 4, count: 3, address: 0x7000), Array(blob[..<24]))
            + frame(FrameHeader(kind: .blob, payloadLength: 10_000, space: 5, count: 10_000, address: 77), blob)
            + frame(FrameHeader(kind: .blob, space: 6))
            + frame(FrameHeader(kind: .packet, payloadLength: 70, count: 70, address: 2), Array(blob[..<70]))
            + frame(FrameHeader(kind: .mark, address: 0xfeed))
            + frame(FrameHeader(kind: .end))
        return (
            bytes,
            [
                .pages(1, 0x5000, content), .zero(2, PageRun(start: 0x10_0000, count: 70_000)),
                .live(2, [PageRun(start: 0x1000, count: 2), PageRun(start: 0x10_0000, count: 9)]), .live(3, []),
                .held(4, 0x7000, Array(blob[..<24])),
                .blob(5, 77, blob), .blob(6, 0, []), .packet(2, Array(blob[..<70])), .mark(0xfeed), .end,
            ]
        )
    }()

    @Test(arguments: [1, 7, 24, 25, 100, 4096, 4120, 5000, 1 << 20])
    func `frames arrive the same in pieces of any size`(piece: Int) {
        let (sink, error) = read(Self.everyKind.bytes, piece: piece)
        #expect(error == nil)
        #expect(sink.events == Self.everyKind.events)
    }

    struct Corrupt: Sendable, CustomTestStringConvertible {
        var header: FrameHeader
        var error: FrameError
        var payload: [UInt8] = []
        var testDescription: String { error.description }
    }

    static let corrupt: [Corrupt] = [
        Corrupt(
            header: FrameHeader(kind: .pages, payloadLength: 4096, space: 1, count: 0),
            error: .count(kind: .pages, came: 0, due: 1...512)),
        Corrupt(
            header: FrameHeader(kind: .pages, payloadLength: 513 * 4096, space: 1, count: 513),
            error: .count(kind: .pages, came: 513, due: 1...512)),
        Corrupt(
            header: FrameHeader(kind: .pages, payloadLength: 4095, space: 1, count: 1),
            error: .payloadLength(kind: .pages, came: 4095, due: 4096...4096)),
        Corrupt(
            header: FrameHeader(kind: .pages, codec: .zstd, payloadLength: 4097, space: 1, count: 1),
            error: .payloadLength(kind: .pages, came: 4097, due: 1...4096)),
        Corrupt(
            header: FrameHeader(kind: .pages, codec: .lz4, payloadLength: 0, space: 1, count: 1),
            error: .payloadLength(kind: .pages, came: 0, due: 1...4096)),
        Corrupt(header: FrameHeader(kind: .pages, payloadLength: 4096, count: 1), error: .space(kind: .pages)),
        Corrupt(
            header: FrameHeader(kind: .pages, payloadLength: 4096, space: 1, count: 1, address: 0x1001),
            error: .misaligned(kind: .pages, address: 0x1001)),
        Corrupt(
            header: FrameHeader(kind: .zero, space: 1, count: 1, address: 1 << 56),
            error: .range(kind: .zero, start: 1 << 56, length: 4096)),
        Corrupt(
            header: FrameHeader(kind: .zero, space: 1, count: 2, address: .max - 4095),
            error: .range(kind: .zero, start: .max - 4095, length: 8192)),
        Corrupt(
            header: FrameHeader(kind: .zero, space: 1, count: .max, address: (1 << 56) - 4096),
            error: .range(kind: .zero, start: (1 << 56) - 4096, length: UInt64(UInt32.max) * 4096)),
        Corrupt(
            header: FrameHeader(kind: .zero, codec: .lz4, space: 1, count: 1), error: .codec(came: 1, kind: .zero)),
        Corrupt(
            header: FrameHeader(kind: .zero, payloadLength: 1, space: 1, count: 1),
            error: .payloadLength(kind: .zero, came: 1, due: 0...0)),
        Corrupt(
            header: FrameHeader(kind: .live, payloadLength: 16, space: 1, count: 2),
            error: .payloadLength(kind: .live, came: 16, due: 32...32)),
        Corrupt(
            header: FrameHeader(kind: .live, payloadLength: 4097 * 16, space: 1, count: 4097),
            error: .count(kind: .live, came: 4097, due: 0...4096)),
        Corrupt(
            header: FrameHeader(kind: .live, payloadLength: 16, space: 1, count: 1),
            error: .liveRun(index: 0, start: 0x1800, count: 1, filler: 0),
            payload: [0, 0x18, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        Corrupt(
            header: FrameHeader(kind: .live, payloadLength: 16, space: 1, count: 1),
            error: .liveRun(index: 0, start: 0x1000, count: 0, filler: 0),
            payload: [0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        Corrupt(
            header: FrameHeader(kind: .blob, payloadLength: 5, count: 5, address: (1 << 48) - 4),
            error: .range(kind: .blob, start: (1 << 48) - 4, length: 5)),
        Corrupt(
            header: FrameHeader(kind: .blob, payloadLength: 1, count: (2 << 20) + 1),
            error: .count(kind: .blob, came: (2 << 20) + 1, due: 0...(2 << 20))),
        Corrupt(
            header: FrameHeader(kind: .packet, payloadLength: 23, count: 23),
            error: .count(kind: .packet, came: 23, due: 24...65_819)),
        Corrupt(
            header: FrameHeader(kind: .packet, payloadLength: 65_820, count: 65_820),
            error: .count(kind: .packet, came: 65_820, due: 24...65_819)),
        Corrupt(
            header: FrameHeader(kind: .packet, payloadLength: 24, count: 24, address: 256),
            error: .range(kind: .packet, start: 256, length: 1)),
        Corrupt(
            header: FrameHeader(kind: .packet, payloadLength: 25, count: 24),
            error: .payloadLength(kind: .packet, came: 25, due: 24...24)),
        Corrupt(header: FrameHeader(kind: .mark, count: 1), error: .fieldNotZero(kind: .mark, field: "count", came: 1)),
        Corrupt(header: FrameHeader(kind: .end, address: 8), error: .fieldNotZero(kind: .end, field: "address", came: 8)),
        Corrupt(
            header: FrameHeader(kind: .warm, payloadLength: 65537),
            error: .payloadLength(kind: .warm, came: 65537, due: 0...65536)),
        Corrupt(
            header: FrameHeader(kind: .pages, codec: .lz4, payloadLength: 4, space: 1, count: 1),
            error: .decompression(codec: .lz4, came: nil, due: 4096), payload: [0xff, 0xff, 0xff, 0xff]),
        Corrupt(
            header: FrameHeader(kind: .pages, codec: .zstd, payloadLength: 4, space: 1, count: 1),
            error: .decompression(codec: .zstd, came: nil, due: 4096), payload: [1, 2, 3, 4]),
    ]

    @Test(arguments: corrupt) func `a corrupt frame is told with what was due`(_ corrupt: Corrupt) {
        let bytes = frame(corrupt.header, corrupt.payload)
        #expect(read(bytes).1 == corrupt.error)
        #expect(read(bytes, piece: 1).1 == corrupt.error)
        #expect(read(bytes).0.events.isEmpty)
    }

    @Test func `unknown kinds, codecs and reserved bits are refused`() {
        let mark = frame(FrameHeader(kind: .mark))
        for (offset, value, error) in [
            (0, UInt8(0), FrameError.kind(came: 0)), (0, 11, .kind(came: 11)), (1, 3, .codec(came: 3, kind: .mark)),
            (3, 1, .reserved(came: 256)),
        ] {
            var bytes = mark
            bytes[offset] = value
            #expect(read(bytes).1 == error)
        }
    }

    @Test func `a stream that ends in the middle is truncated`() {
        let page = frame(FrameHeader(kind: .pages, payloadLength: 4096, space: 1, count: 1), texture(4096))
        #expect(read([]).1 == .truncated(inside: nil))
        #expect(read(page).1 == .truncated(inside: nil))
        #expect(read(Array(page.prefix(10))).1 == .truncated(inside: .pages))
        #expect(read(Array(page.prefix(100))).1 == .truncated(inside: .pages))
        #expect(read(frame(FrameHeader(kind: .end)) + [1]).1 == .afterEnd(bytes: 1))
    }

    @Test func `after an error nothing more is taken`() {
        var reader = FrameReader()
        let sink = RecordingSink()
        let bad = [UInt8](repeating: 0xee, count: 24)
        let good = frame(FrameHeader(kind: .mark, address: 1))
        #expect(throws: FrameError.kind(came: 0xee)) { try bad.withUnsafeBytes { try reader.feed($0, to: sink) } }
        #expect(throws: FrameError.kind(came: 0xee)) { try good.withUnsafeBytes { try reader.feed($0, to: sink) } }
        #expect(sink.events.isEmpty)
    }

    @Test func `what the sink says ends the stream`() {
        let page = frame(FrameHeader(kind: .pages, payloadLength: 4096, space: 1, count: 1), texture(4096))
        #expect(read(page, to: RecordingSink(failing: "store full")).1 == .sink("store full"))
    }

    @Test(arguments: 0..<40) func `random bytes and broken streams never crash the reader`(seed: UInt64) {
        var seeded = Seeded(seed)
        _ = read(seeded.noise(20_000), piece: Int.random(in: 1...5000, using: &seeded))
        for _ in 0..<50 {
            var bytes = Self.everyKind.bytes + Packing.samples
            for _ in 0..<Int.random(in: 1...6, using: &seeded) {
                let offset = Int.random(in: 0..<bytes.count, using: &seeded)
                switch UInt8.random(in: 0..<4, using: &seeded) {
                case 0: bytes[offset] = UInt8.random(in: 0...255, using: &seeded)
                case 1: bytes[offset] ^= 1 << UInt8.random(in: 0..<8, using: &seeded)
                case 2: bytes.removeSubrange(offset..<min(bytes.count, offset + 40))
                default: bytes.insert(contentsOf: seeded.noise(13), at: offset)
                }
            }
            _ = read(bytes, piece: Int.random(in: 1...9000, using: &seeded))
        }
    }
}

/// Packed frames for the tests here and above.
enum Packing {
    static func frame(_ codec: Codec, _ content: [UInt8], kind: FrameKind = .pages) -> [UInt8]? {
        let packer = Packer()
        var target = [UInt8](repeating: 0, count: content.count)
        let length = content.withUnsafeBytes { from in
            target.withUnsafeMutableBytes { to in packer.pack(from, with: codec, into: to) }
        }
        guard let length else { return nil }
        let count = kind == .pages ? content.count / pageSize : content.count
        let header = FrameHeader(
            kind: kind, codec: codec, payloadLength: UInt32(length), space: 4, count: UInt32(count), address: 0x8000)
        return WireTests.frame(header, Array(target.prefix(length)))
    }

    static let samples: [UInt8] = [Codec.lz4, .zstd].flatMap { Packing.frame($0, texture(8192)) ?? [] }
}

@Suite struct PackingTests {
    @Test(arguments: [Codec.lz4, .zstd], [1, 3, 512])
    func `packed pages come out as they went in`(codec: Codec, pages: Int) throws {
        let content = texture(pages * pageSize, seed: 3)
        let packed = try #require(Packing.frame(codec, content))
        #expect(packed.count < content.count)
        for piece in [packed.count, 4096, 99] {
            let (sink, error) = read(packed + frame(FrameHeader(kind: .end)), piece: piece)
            #expect(error == nil)
            #expect(sink.events == [.pages(4, 0x8000, content), .end])
        }
    }

    @Test(arguments: [Codec.lz4, .zstd]) func `packed blobs come out as they went in`(codec: Codec) throws {
        let content = texture(70_001)
        let packed = try #require(Packing.frame(codec, content, kind: .blob))
        #expect(read(packed).0.events == [.blob(4, 0x8000, content)])
    }

    @Test(arguments: [Codec.lz4, .zstd]) func `noise is not worth packing`(codec: Codec) {
        var seeded = Seeded(9)
        #expect(Packing.frame(codec, seeded.noise(8192)) == nil)
    }

    @Test(arguments: [Codec.lz4, .zstd])
    func `packed data of another length than announced is refused`(codec: Codec) throws {
        var packed = try #require(Packing.frame(codec, texture(2 * pageSize)))
        packed[12] = 3  // three pages announced, two packed
        #expect(read(packed).1 == .decompression(codec: codec, came: 2 * pageSize, due: 3 * pageSize))
        packed[12] = 1  // one page announced, two packed
        #expect(read(packed).1 == .decompression(codec: codec, came: nil, due: pageSize))
    }
}
