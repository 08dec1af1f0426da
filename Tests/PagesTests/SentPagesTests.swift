import Model
import Testing
@testable import Pages

@Suite struct SentPagesTests {
    private func page(_ byte: UInt8, _ body: (UnsafeRawPointer) -> PageKind) -> PageKind {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 4096) { buffer in
            buffer.initializeMemory(as: UInt8.self, repeating: byte)
            return body(UnsafeRawPointer(buffer.baseAddress!))
        }
    }

    @Test func `a page is new once, and again when its content or its address is another`() {
        var sent = SentPages(seed: 7)
        let space = SpaceID(1)
        #expect(page(5) { sent.note(space, 0x1000, $0) } == .new)
        #expect(page(5) { sent.note(space, 0x1000, $0) } == .same)
        #expect(page(5) { sent.note(space, 0x2000, $0) } == .new)
        #expect(page(6) { sent.note(space, 0x1000, $0) } == .new)
        #expect(page(0) { sent.note(space, 0x1000, $0) } == .zero)
        #expect(page(0) { sent.note(space, 0x1000, $0) } == .same)
        #expect(page(5) { sent.note(SpaceID(2), 0x1000, $0) } == .new)
        sent.drop(space)
        #expect(page(0) { sent.note(space, 0x1000, $0) } == .zero)
    }

    /// Two hosts after a loss: of three versions that were on their way any may have landed, or none.
    @Test func `what the destination holds is told from what was sent by content`() throws {
        let seed: UInt64 = 99, space = SpaceID(1)
        var sent = SentPages(seed: seed)
        let store = try PageStore(kind: .memory, capacity: .mebibytes(8))
        func land(_ byte: UInt8, _ address: UInt64) throws {
            try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 4096) { buffer in
                buffer.initializeMemory(as: UInt8.self, repeating: byte)
                try store.land(space, address: address, UnsafeRawBufferPointer(buffer))
            }
        }
        for index in 0..<8 as Range<UInt64> { _ = page(UInt8(index + 1)) { sent.note(space, 0x1000 * index, $0) } }
        _ = page(0) { sent.note(space, 0x8000, $0) }
        _ = page(0) { sent.note(space, 0x9000, $0) }
        for index in [0, 1, 4, 7] as [UInt64] { try land(UInt8(index + 1), 0x1000 * index) }
        try land(77, 0x2000)  // an older version
        try store.landZero(space, PageRun(start: 0x8000, count: 1))
        try land(5, 0xa000)  // not asked for
        var differing: [PageRun] = []
        sent.eachPiece { _, address, marks in
            differing += PageMark.differing(from: address, marks) { store.mark(space, $0, seed: seed) }
        }
        #expect(
            differing == [
                PageRun(start: 0x2000, count: 2), PageRun(start: 0x5000, count: 2), PageRun(start: 0x9000, count: 1),
            ])
        for run in differing { sent.forget(space, run) }
        for index in 0..<8 as Range<UInt64> {
            let kind = page(UInt8(index + 1)) { sent.note(space, 0x1000 * index, $0) }
            #expect(kind == ([2, 3, 5, 6].contains(index) ? .new : .same), "page \(index)")
        }
        #expect(page(0) { sent.note(space, 0x8000, $0) } == .same)
        #expect(page(0) { sent.note(space, 0x9000, $0) } == .zero)
    }

    @Test func `what doesn't fit in the memory for hashes is sent again rather than taken for known`() {
        var sent = SentPages(seed: 7, memory: .kibibytes(8))  // two pieces of 2 MiB
        let space = SpaceID(1)
        for piece in 0..<3 as Range<UInt64> { #expect(page(5) { sent.note(space, piece << 21, $0) } == .new) }
        #expect(page(5) { sent.note(space, 0 << 21, $0) } == .same)
        #expect(page(5) { sent.note(space, 1 << 21, $0) } == .same)
        #expect(page(5) { sent.note(space, 2 << 21, $0) } == .new)
        #expect(page(0) { sent.note(space, 2 << 21, $0) } == .zero)
        #expect(page(0) { sent.note(space, 2 << 21, $0) } == .zero)
    }
}
