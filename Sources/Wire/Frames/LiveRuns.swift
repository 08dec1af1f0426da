import Model

// The payload of a live frame: entries of {u64 start, u32 count, u32 zero}, little-endian.

/// Reads the payload of a live frame; its length is a multiple of an entry's.
func liveRuns(_ bytes: UnsafeRawBufferPointer) throws(FrameError) -> [PageRun] {
    var runs: [PageRun] = []
    runs.reserveCapacity(bytes.count / FrameLimit.liveRunBytes)
    for index in 0..<(bytes.count / FrameLimit.liveRunBytes) {
        let offset = index * FrameLimit.liveRunBytes
        let start = bytes.littleEndian(at: offset, as: UInt64.self)
        let count = bytes.littleEndian(at: offset + 8, as: UInt32.self)
        let filler = bytes.littleEndian(at: offset + 12, as: UInt32.self)
        let length = UInt64(count) * UInt64(pageSize)
        guard count > 0, filler == 0, start % UInt64(pageSize) == 0,
            start < FrameLimit.addressEnd, length <= FrameLimit.addressEnd - start
        else { throw .liveRun(index: index, start: start, count: count, filler: filler) }
        runs.append(PageRun(start: start, count: Int(count)))
    }
    return runs
}

/// Stores runs as entries at the start of `bytes`. The caller has split runs of more than 2^32 - 1 pages.
func storeLiveRuns(_ runs: ArraySlice<PageRun>, in bytes: UnsafeMutableRawBufferPointer) {
    for (index, run) in runs.enumerated() {
        let offset = index * FrameLimit.liveRunBytes
        bytes.storeLittleEndian(run.start, at: offset)
        bytes.storeLittleEndian(UInt32(run.count), at: offset + 8)
        bytes.storeLittleEndian(UInt32(0), at: offset + 12)
    }
}
