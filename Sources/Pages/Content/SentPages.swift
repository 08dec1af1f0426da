import CXXHash
public import Model

/// What a page is compared with what the destination holds for its address.
public enum PageKind: Sendable {
    /// All bytes are zero.
    case zero
    /// The content that was sent last for this address.
    case same
    case new
}

/// Remembers, for each address, a hash of the content that was sent last, so that a page that was written with the same
/// content, or merely looked dirty, is not sent again.
///
/// 8 bytes a page: 2 MiB for each GiB of the container, up to a limit, beyond which pages are not remembered and are sent whenever
/// they look dirty. The hash is XXH3-64 with a seed drawn for each
/// migration, so that nobody outside can prepare two pages that look the same; by chance it happens once in 2^64 pages.
/// Owned by one thread.
public struct SentPages: ~Copyable {
    private struct Piece: Hashable {
        var space: SpaceID
        var base: UInt64
    }
    /// One hash a page of a 2 MiB piece; 0 means never sent.
    private var pieces: [Piece: UnsafeMutablePointer<UInt64>] = [:]
    private var lastPiece: Piece?
    private var lastTable: UnsafeMutablePointer<UInt64>?
    private let seed: UInt64
    private let mostPieces: Int

    /// - Parameter memory: the most that the hashes may take: 128 MiB remember 64 GiB.
    public init(seed: UInt64, memory: ByteCount = .mebibytes(128)) {
        self.seed = seed
        mostPieces = max(1, memory.rawValue / (512 * MemoryLayout<UInt64>.stride))
    }

    deinit { for table in pieces.values { table.deallocate() } }

    /// Says what a page is and takes it as sent.
    /// - Parameters:
    ///   - address: virtual address of the page.
    ///   - bytes: the page's content, 4096 bytes.
    public mutating func note(_ space: SpaceID, _ address: UInt64, _ bytes: UnsafeRawPointer) -> PageKind {
        guard let table = table(Piece(space: space, base: address >> 21)) else {
            return cxxhash_is_zero_page(bytes) != 0 ? .zero : .new
        }
        let slot = table + Int(address >> 12 & 511)
        let mark = PageMark.of(bytes, seed: seed)
        defer { slot.pointee = mark }
        if slot.pointee == mark { return .same }
        return mark == PageMark.zero ? .zero : .new
    }

    /// Forgets pages: whatever they are, they will be sent.
    public mutating func forget(_ space: SpaceID, _ run: PageRun) {
        var address = run.start
        while address < run.end {
            let end = min(((address >> 21) + 1) << 21, run.end)
            if let table = pieces[Piece(space: space, base: address >> 21)] {
                for page in (address >> 12)..<(end >> 12) { table[Int(page & 511)] = PageMark.unknown }
            }
            address = end
        }
    }

    /// Calls `body` for what is remembered, 2 MiB of addresses at a time: the space, the first page's address, and the marks of it and
    /// its neighbours (`PageMark`), at most 512.
    public func eachPiece<Failure: Error>(
        _ body: (SpaceID, UInt64, UnsafeRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        for (piece, table) in pieces {
            let all = UnsafeBufferPointer(start: table, count: 512)
            guard let first = all.firstIndex(where: { $0 != PageMark.unknown }),
                let last = all.lastIndex(where: { $0 != PageMark.unknown })
            else { continue }
            let bytes = UnsafeRawBufferPointer(start: table + first, count: (last - first + 1) * MemoryLayout<UInt64>.stride)
            try body(piece.space, piece.base << 21 + UInt64(first * pageSize), bytes)
        }
    }

    /// Forgets a space.
    public mutating func drop(_ space: SpaceID) {
        for (piece, table) in pieces where piece.space == space {
            table.deallocate()
            pieces[piece] = nil
        }
        lastPiece = nil
    }

    /// - Returns: nil for a piece that there is no room to remember.
    private mutating func table(_ piece: Piece) -> UnsafeMutablePointer<UInt64>? {
        if piece == lastPiece, let lastTable { return lastTable }
        guard let found = pieces[piece] ?? makeTable(piece) else { return nil }
        (lastPiece, lastTable) = (piece, found)
        return found
    }

    private mutating func makeTable(_ piece: Piece) -> UnsafeMutablePointer<UInt64>? {
        if pieces.count >= mostPieces { return nil }
        let made = UnsafeMutablePointer<UInt64>.allocate(capacity: 512)
        made.initialize(repeating: 0, count: 512)
        pieces[piece] = made
        return made
    }
}
