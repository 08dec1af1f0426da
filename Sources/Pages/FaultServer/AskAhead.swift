import Model

/// How much is asked for with a page that a thread waits for: the missing pages of its window, because who needs one soon needs the next,
/// and each question costs a round trip. Who goes on where an answer ended gets twice as much as then, up to a whole chunk.
struct AskAhead {
    /// Where runs that were asked for end, and their length.
    private var ends: [FaultLoop.PageKey: Int] = [:]
    /// A thread that goes through memory needs one; random ones would fill the table.
    private static let mostEnds = 1024

    mutating func run(_ page: FaultLoop.PageKey, _ store: PageStore, window: Int) -> PageRun {
        let length: Int, run: PageRun
        if let before = ends.removeValue(forKey: page) {
            length = min(2 * before, Chunk.pages)
            run = store.missingAround(page.space, page.address, before: 0, behind: length - 1)
        } else {
            length = window
            let index = Int(page.address >> 12) % window
            run = store.missingAround(page.space, page.address, before: index, behind: window - 1 - index)
        }
        if ends.count >= Self.mostEnds { ends.removeAll(keepingCapacity: true) }
        ends[FaultLoop.PageKey(space: page.space, address: run.end)] = length
        return run
    }
}
