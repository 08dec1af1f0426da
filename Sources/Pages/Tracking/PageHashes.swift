import CXXHash
import Model

/// Hashes of the pages of one address space as they were sent; 8 bytes a page, in blocks of 512 (2 MiB of memory).
struct PageHashes {
    private final class Block {
        var hashes = [UInt64](repeating: 0, count: 512)
        /// Which of them are known.
        var known = [UInt64](repeating: 0, count: 8)
    }
    private var blocks: [UInt64: Block] = [:]

    /// Remembers what was sent.
    /// - Parameter bytes: the runs' pages, packed.
    mutating func record(_ runs: [PageRun], _ bytes: UnsafeRawBufferPointer) {
        walk(runs, bytes) { block, index, hash in
            block.hashes[index] = hash
            block.known[index >> 6] |= 1 << UInt64(index & 63)
        }
    }

    /// Appends those pages whose content isn't what was sent.
    mutating func appendChanged(_ runs: [PageRun], _ bytes: UnsafeRawBufferPointer, to changed: inout [PageRun]) {
        var address: UInt64 = 0
        var out = changed
        changed = []
        walk(runs, bytes, at: { address = $0 }) { block, index, hash in
            if block.known[index >> 6] >> UInt64(index & 63) & 1 == 1, block.hashes[index] == hash { return }
            if let last = out.last, last.end == address {
                out[out.count - 1].count += 1
            } else {
                out.append(PageRun(start: address, count: 1))
            }
        }
        changed = out
    }

    private mutating func walk(
        _ runs: [PageRun], _ bytes: UnsafeRawBufferPointer, at: (UInt64) -> Void = { _ in }, _ body: (Block, Int, UInt64) -> Void
    ) {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 512) { hashes in
            var offset = 0
            for run in runs {
                var address = run.start
                while address < run.end {
                    // Up to the end of a block at a time.
                    let number = address >> 21, first = Int(address >> 12 & 511)
                    let count = min(512 - first, Int((run.end - address) >> 12))
                    cxxhash_pages64(bytes.baseAddress! + offset, count, hashes.baseAddress)
                    let block = block(number)
                    for i in 0..<count {
                        at(address + UInt64(i * pageSize))
                        body(block, first + i, hashes[i])
                    }
                    address += UInt64(count * pageSize)
                    offset += count * pageSize
                }
            }
        }
    }

    private mutating func block(_ number: UInt64) -> Block {
        if let block = blocks[number] { return block }
        let block = Block()
        blocks[number] = block
        return block
    }
}
