public import Model

/// Cuts a list of runs into batches that fit a buffer, without an allocation a page.
public struct RunBatches {
    private let runs: [PageRun]
    private let maximumPages: Int
    private var index = 0
    private var offset = 0

    /// - Parameter maximumBytes: of one batch, at least a page.
    public init(_ runs: [PageRun], maximumBytes: Int) {
        self.runs = runs
        maximumPages = max(maximumBytes / pageSize, 1)
    }

    /// Replaces `batch` by the next runs.
    /// - Returns: number of pages in it; 0 at the end.
    public mutating func next(into batch: inout [PageRun]) -> Int {
        batch.removeAll(keepingCapacity: true)
        var pages = 0
        while index < runs.count, pages < maximumPages {
            let run = runs[index]
            let count = min(run.count - offset, maximumPages - pages)
            batch.append(PageRun(start: run.start + UInt64(offset * pageSize), count: count))
            pages += count
            offset += count
            if offset == run.count {
                index += 1
                offset = 0
            }
        }
        return pages
    }
}
