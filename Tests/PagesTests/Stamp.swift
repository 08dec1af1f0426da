import Glibc
import Model
import Pages

/// The pages that Tests/Support/lazyclient.c expects. (PagesHarness shares this file by a link.)
enum Stamp {
    static func base(_ process: Int) -> UInt64 { 0x1000_0000_0000 + UInt64(process) * 0x10_0000_0000 }
    static func isZero(_ page: Int) -> Bool { page % 7 == 3 }
    static func isUnknown(_ page: Int) -> Bool { page % 11 == 5 }

    static func write(_ address: UInt64, into page: UnsafeMutableRawPointer) {
        for word in 0..<512 {
            page.storeBytes(of: (address + UInt64(word * 8)) &* 0x9E37_79B9_7F4A_7C15, toByteOffset: word * 8, as: UInt64.self)
        }
    }

    /// Runs of pages that `wanted` picks, at most `most` long.
    static func runs(_ pages: Int, process: Int, most: Int = 64, _ wanted: (Int) -> Bool) -> [PageRun] {
        var result: [PageRun] = []
        for page in 0..<pages where wanted(page) {
            let address = base(process) + UInt64(page * 4096)
            if let last = result.last, last.end == address, last.count < most {
                result[result.count - 1].count += 1
            } else {
                result.append(PageRun(start: address, count: 1))
            }
        }
        return result
    }

    /// Lands a process's image: zero pages as such, unknown ones not at all, and `missing` ones announced only.
    static func land(
        _ store: PageStore, process: Int, pages: Int, dense: Bool = false, missing: (Int) -> Bool = { _ in false }
    ) throws(StoreError) {
        let space = SpaceID(UInt32(process + 1))
        let known = { (page: Int) in dense || !isUnknown(page) }
        let zero = { (page: Int) in !dense && isZero(page) && !isUnknown(page) }
        try land(store, space, runs(pages, process: process) { known($0) && !zero($0) && !missing($0) })
        for run in runs(pages, process: process, zero) { try store.landZero(space, run) }
        try store.setLive(space, runs(pages, process: process, known))
    }

    static func land(_ store: PageStore, _ space: SpaceID, _ runs: [PageRun]) throws(StoreError) {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: (runs.map(\.byteCount).max() ?? 0), alignment: 4096)
        defer { room.deallocate() }
        for run in runs {
            for page in 0..<run.count { write(run.start + UInt64(page * 4096), into: room.baseAddress! + page * 4096) }
            try store.land(space, address: run.start, UnsafeRawBufferPointer(rebasing: room[..<run.byteCount]))
        }
    }
}
