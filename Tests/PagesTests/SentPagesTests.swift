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
