import Testing

@testable import Plan

struct StreamCountTests {
    @Test(
        arguments: [
            (nil, nil, 4, 2), (nil, Duration.milliseconds(1), 4, 2), (nil, .milliseconds(29), 1, 1),
            (nil, .milliseconds(30), 1, 8),
            (3, .milliseconds(200), 1, 3),
        ] as [(Int?, Duration?, Int, Int)])
    func `long links have more streams`(_ asked: Int?, _ roundTrip: Duration?, _ processors: Int, _ expected: Int) {
        #expect(StreamCount.chosen(asked: asked, roundTrip: roundTrip, processors: processors) == expected)
    }

    @Test func `the shortest round trip counts, and the person is told`() {
        func actions(_ trips: [Int]) -> [SourceAction] {
            var machine = SourceMachine(Sample.order { _ in })
            var all: [SourceAction] = []
            for (event, _) in SourceMachineTests.happyPath.prefix(2) { all += machine.handle(event) }
            for trip in trips { all += machine.handle(.roundTrip(.milliseconds(trip))) }
            for (event, _) in SourceMachineTests.happyPath.dropFirst(2).prefix(3) { all += machine.handle(event) }
            return all
        }
        func streams(_ actions: [SourceAction]) -> Int? {
            for case .send(.prepare(let order)) in actions { return order.streams }
            return nil
        }
        #expect(streams(actions([90, 50, 70])) == 8)
        #expect(actions([90, 50, 70]).contains(.note("8 data streams: a round trip takes 50 ms")))
        #expect(streams(actions([90, 5])) == 2)
        #expect(streams(actions([])) == 2)
    }
}
