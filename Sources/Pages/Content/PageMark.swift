import CXXHash
public import Model

/// What stands for a page's content where two hosts compare what they have: 8 bytes.
public enum PageMark {
    /// Nothing is known of the page.
    public static let unknown: UInt64 = 0
    /// All bytes are zero.
    public static let zero: UInt64 = 1

    /// XXH3-64 with the migration's seed; of zeros `zero`.
    /// - Parameter bytes: `pageSize` bytes.
    @inline(__always)
    public static func of(_ bytes: UnsafeRawPointer, seed: UInt64) -> UInt64 {
        // 0 and 1 are taken: such a hash is moved aside.
        cxxhash_is_zero_page(bytes) != 0 ? zero : max(cxxhash_64(bytes, pageSize, seed), 2)
    }

    /// Pages whose mark here is another than the one there. One that there knows nothing of is not asked for.
    /// - Parameters:
    ///   - marks: of neighbouring pages from `address` on, 8 bytes each, little-endian.
    ///   - held: the mark of what is held here, by address.
    public static func differing(
        from address: UInt64, _ marks: UnsafeRawBufferPointer, held: (UInt64) throws -> UInt64
    ) rethrows -> [PageRun] {
        var runs: [PageRun] = []
        for index in 0..<marks.count / MemoryLayout<UInt64>.size {
            let mark = UInt64(littleEndian: marks.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
            guard mark != unknown else { continue }
            let page = address + UInt64(index * pageSize)
            if try held(page) == mark { continue }
            if let last = runs.last, last.end == page {
                runs[runs.count - 1].count += 1
            } else {
                runs.append(PageRun(start: page, count: 1))
            }
        }
        return runs
    }
}

extension PageStore {
    /// What is held of a page.
    public func mark(_ space: SpaceID, _ address: UInt64, seed: UInt64) -> UInt64 {
        if let content = content(space, address) { return PageMark.of(content, seed: seed) }
        return isZero(space, address) ? PageMark.zero : PageMark.unknown
    }
}
