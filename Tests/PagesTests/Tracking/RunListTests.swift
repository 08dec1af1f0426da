import Model
import Testing

@testable import Pages

@Suite struct RunListTests {
    private func runs(_ pages: [(Int, Int)]) -> [PageRun] {
        pages.map { PageRun(start: UInt64($0.0 * pageSize), count: $0.1) }
    }

    @Test func `what is taken out of a list is gone, and nothing else`() {
        let all = runs([(1, 4), (5, 3), (10, 1)])
        #expect(RunList.of(all, without: []) == all)
        #expect(RunList.of(all, without: runs([(2, 1)])) == runs([(1, 1), (3, 2), (5, 3), (10, 1)]))
        #expect(RunList.of(all, without: runs([(4, 2)])) == runs([(1, 3), (6, 2), (10, 1)]))
        #expect(RunList.of(all, without: runs([(7, 9)])) == runs([(1, 4), (5, 2)]))
        #expect(RunList.of(all, without: runs([(0, 1), (8, 2), (11, 5)])) == all)
        #expect(RunList.of(all, without: runs([(0, 50)])).isEmpty)
    }

    @Test func `what lies in ranges is cut at their bounds`() {
        func page(_ number: Int) -> UInt64 { UInt64(number * pageSize) }
        let all = runs([(1, 4), (5, 3), (10, 1)])
        #expect(RunList.of(all, within: []).isEmpty)
        #expect(RunList.of(all, within: [0..<page(50)]) == all)
        // A range over two runs, two ranges in one run, and one that touches nothing.
        #expect(
            RunList.of(all, within: [page(2)..<page(3), page(4)..<page(6), page(8)..<page(10)])
                == runs([(2, 1), (4, 1), (5, 1)]))
        for run in all {
            #expect(RunList.of([run], within: [run.start..<run.end]) == [run])
            #expect(RunList.of([run], without: RunList.of([run], within: [page(2)..<page(6)])).allSatisfy { $0.end <= run.end })
        }
    }

    @Test func `page by page it is the difference of the sets`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            func list() -> [PageRun] {
                var found: [PageRun] = []
                for page in 0..<64 where UInt8.random(in: 0..<3, using: &random) == 0 {
                    found.append(PageRun(start: UInt64(page * pageSize), count: 1))
                }
                if Bool.random(using: &random) { RunList.normalize(&found) }
                return found
            }
            func pages(_ runs: [PageRun]) -> Set<UInt64> {
                Set(runs.flatMap { run in (0..<run.count).map { run.start + UInt64($0 * pageSize) } })
            }
            let (some, others) = (list(), list())
            let left = RunList.of(some, without: others)
            #expect(pages(left) == pages(some).subtracting(pages(others)))
            #expect(RunList.isNormal(left))
        }
    }
}
