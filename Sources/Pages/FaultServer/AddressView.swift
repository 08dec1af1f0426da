/// How one process sees its image: where each page of the image lies now, and which are gone.
///
/// The image is the space as it was at the freeze. A page starts at its own address. mremap moves pages: the view keeps
/// moved pieces; everything else is where it was. A page removed once never comes back: what the process finds there
/// later is its own.
///
/// A pure value: it follows from the task's events alone, in their order, and so the keeper can build it again.
struct AddressView: Equatable {
    /// A moved piece: [current, current + length) shows [image, image + length).
    struct Piece: Equatable {
        var current: UInt64
        var image: UInt64
        var length: UInt64
        var currentRange: Range<UInt64> { current..<(current + length) }
        var imageRange: Range<UInt64> { image..<(image + length) }

        /// The part of it within a range of current addresses.
        func part(_ range: Range<UInt64>) -> Piece? {
            let both = currentRange.clamped(to: range)
            if both.isEmpty { return nil }
            return Piece(current: both.lowerBound, image: image + (both.lowerBound - current), length: UInt64(both.count))
        }
    }

    private(set) var pieces: [Piece] = []  // disjoint in both, few
    private(set) var gone = GoneSet()

    /// Whether any page was moved.
    var hasMoves: Bool { !pieces.isEmpty }

    // MARK: looking up

    /// The page of the image that shows at an address; nil if it's none, or gone.
    func image(of current: UInt64) -> UInt64? {
        if let piece = pieces.first(where: { $0.currentRange.contains(current) }) {
            let image = piece.image + (current - piece.current)
            return gone.contains(image) ? nil : image
        }
        return isMovedAway(current) || gone.contains(current) ? nil : current
    }

    /// Where pages of the image lie now.
    /// - Returns: the address of the first, and for how many of the pages (at least one) the same distance holds;
    ///   nil if the first is gone.
    func current(of image: UInt64, pages: Int) -> (address: UInt64, pages: Int)? {
        if gone.contains(image) { return nil }
        guard hasMoves else { return (image, pages) }
        if let piece = pieces.first(where: { $0.imageRange.contains(image) }) {
            let left = Int((piece.image + piece.length - image) >> 12)
            return (piece.current + (image - piece.image), min(pages, left))
        }
        // Not moved, up to the next moved piece.
        let next = pieces.lazy.map(\.image).filter { $0 > image }.min() ?? .max
        return (image, min(pages, Int(clamping: (next - image) >> 12)))
    }

    private func isMovedAway(_ image: UInt64) -> Bool { pieces.contains { $0.imageRange.contains(image) } }

    // MARK: events

    /// MADV_DONTNEED and its kin: the pages at these addresses were dropped, the mapping stays.
    /// - Returns: ranges of the image that are gone by it.
    @discardableResult
    mutating func remove(_ range: Range<UInt64>) -> [Range<UInt64>] {
        let removed = images(range).map(\.imageRange)
        for part in removed { gone.insert(part) }
        return removed
    }

    /// munmap: the same, and what is mapped there later has no image.
    @discardableResult
    mutating func unmap(_ range: Range<UInt64>) -> [Range<UInt64>] {
        let removed = remove(range)
        pieces = pieces.flatMap { Self.without($0, range) }
        return removed
    }

    /// mremap: what showed at [from, from + length) shows at [to, to + length). The kernel tells the unmapping of the old
    /// place afterwards as an event of its own: it finds nothing there then. (With MREMAP_DONTUNMAP it doesn't come: the
    /// old place is empty all the same.)
    /// - Returns: ranges of the image that are gone because they lay at the new place.
    @discardableResult
    mutating func move(from: UInt64, to: UInt64, length: UInt64) -> [Range<UInt64>] {
        let source = from..<(from + length), target = to..<(to + length)
        let moving = images(source)
        pieces = pieces.flatMap { Self.without($0, source) }
        // The kernel reported what it unmapped at the target, unless it wasn't registered; then it has no image.
        let replaced = identityImages(target, except: moving) + pieces.compactMap { $0.part(target)?.imageRange }
        for part in replaced { gone.insert(part) }
        pieces = pieces.flatMap { Self.without($0, target) }
        pieces += moving.map { Piece(current: $0.current - from + to, image: $0.image, length: $0.length) }
        pieces.removeAll { $0.current == $0.image }  // moved back home
        return replaced
    }

    /// What shows in a range of addresses: moved pieces, and unmoved pages between them.
    private func images(_ range: Range<UInt64>) -> [Piece] {
        pieces.compactMap { $0.part(range) }
            + identityImages(range, except: []).map {
                Piece(current: $0.lowerBound, image: $0.lowerBound, length: UInt64($0.count))
            }
    }

    /// Parts of a range of addresses that show their own image: covered by no moved piece, not moved away.
    private func identityImages(_ range: Range<UInt64>, except: [Piece]) -> [Range<UInt64>] {
        var parts = range.isEmpty ? [] : [range]
        for piece in pieces {
            parts = parts.flatMap { Self.subtract($0, piece.currentRange) }.flatMap { Self.subtract($0, piece.imageRange) }
        }
        for piece in except { parts = parts.flatMap { Self.subtract($0, piece.imageRange) } }
        return parts
    }

    private static func subtract(_ range: Range<UInt64>, _ hole: Range<UInt64>) -> [Range<UInt64>] {
        guard range.overlaps(hole) else { return [range] }
        var parts: [Range<UInt64>] = []
        if range.lowerBound < hole.lowerBound { parts.append(range.lowerBound..<hole.lowerBound) }
        if hole.upperBound < range.upperBound { parts.append(hole.upperBound..<range.upperBound) }
        return parts
    }

    private static func without(_ piece: Piece, _ range: Range<UInt64>) -> [Piece] {
        subtract(piece.currentRange, range).compactMap { piece.part($0) }
    }
}
