/// How long questions took, in the order in which they were asked.
struct Latencies: Sendable {
    /// When a question was due, ns of `now()`, and how long its answer took, in ns.
    private var samples: [(at: Int64, took: Int64)] = []
    /// What the asker leaves between two questions, ns.
    var pace: Int64

    /// Milliseconds.
    struct Summary: Codable, Sendable {
        var count: Int
        var p50: Double
        var p99: Double
        var max: Double
    }

    init(pace: Int64) { self.pace = pace }

    mutating func add(at: Int64, took: Int64) { samples.append((at, took)) }

    /// Of all that were due in a period. While one waits, those that would have come behind it wait too, each a `pace` less: an asker
    /// that holds back while it waits would otherwise count a second of silence as one slow question.
    func summary(from: Int64, to: Int64) -> Summary? {
        let sorted = times(from, to).sorted()
        guard let last = sorted.last else { return nil }
        func share(_ part: Double) -> Double { milliseconds(sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))]) }
        return Summary(count: sorted.count, p50: share(0.5), p99: share(0.99), max: milliseconds(last))
    }

    /// The 99th percentile of each window, ms; 0 where nothing was asked.
    func windows(_ width: Int64, from: Int64, to: Int64) -> [Double] {
        guard to > from else { return [] }
        var all: [[Int64]] = Array(repeating: [], count: Int((to - from) / width))
        each { at, took in
            let index = Int((at - from) / width)
            if at >= from, index < all.count { all[index].append(took) }
        }
        return all.map { window in
            let sorted = window.sorted()
            return sorted.isEmpty ? 0 : milliseconds(sorted[min(sorted.count - 1, sorted.count * 99 / 100)])
        }
    }

    private func times(_ from: Int64, _ to: Int64) -> [Int64] {
        var times: [Int64] = []
        each { at, took in if at >= from, at < to { times.append(took) } }
        return times
    }

    private func each(_ body: (Int64, Int64) -> Void) {
        for sample in samples {
            body(sample.at, sample.took)
            for late in stride(from: pace, to: max(sample.took - pace, pace), by: Int64.Stride(pace)) {
                body(sample.at + late, sample.took - late)
            }
        }
    }
}
