import Glibc
import Host
import Model
import Synchronization
import Testing
@testable import Pages

/// Pages that come while the container runs already.
@Suite(.tags(.root), .serialized)
struct PlacementTests {
    private let space = SpaceID(1)

    private static func store(pages: Int) throws -> PageStore {
        let store = try PageStore(kind: .memory, capacity: .gibibytes(1))
        try Stamp.land(store, process: 0, pages: pages) { $0 % 3 == 0 || $0 % 100 > 40 }
        return store
    }

    @Test func `what comes late goes past the store`() throws {
        let folder = Folder()
        let store = try Self.store(pages: 6000)
        let served = try Served(store, folder, processes: 1)
        let client = try Programs.client(folder, "plain", pages: 6000)
        try served.untilFinished()
        served.server.startFill()
        let before = store.statistics.stored
        let missing = store.missingLive(space)
        try Stamp.land(store, space, missing)
        #expect(store.statistics.stored == before)
        // Twice is harmless: an answer to a question crosses the rest. Behind the fill's end the store takes it, which goes then.
        try Stamp.land(store, space, missing)
        let figures = try served.untilFilled()
        #expect(store.missingLive(space).isEmpty)
        #expect(figures.pushed + figures.copied >= missing.reduce(0) { $0 + $1.count })
        client.tell("go")
        #expect(client.lines(until: "ok").last == "ok")
    }

    /// Children that are forked meanwhile need the same pages; moved and removed ones are elsewhere or nowhere.
    @Test(arguments: ["fork", "layout", "torture", "churn"])
    func `pages that come late find processes that change meanwhile`(scenario: String) throws {
        let folder = Folder()
        let store = try Self.store(pages: 6000)
        let served = try Served(store, folder, processes: 1)
        let client = try Programs.client(folder, scenario, pages: 6000)
        try served.untilFinished()
        client.tell("go")
        served.server.startFill()
        for run in store.missingLive(space) { try Stamp.land(store, space, [run]) }
        #expect(client.lines(until: "ok").last == "ok")
        _ = try served.untilFilled()
    }

    @Test func `who reads on where an answer ended is given more`() throws {
        let store = try PageStore(kind: .memory, capacity: .mebibytes(16))
        let base: UInt64 = 0x7f00_0000_0000
        try store.setLive(space, [PageRun(start: base, count: 1024)])
        try store.landZero(space, PageRun(start: base + UInt64(700 * pageSize), count: 1))
        var ahead = AskAhead()
        func ask(_ page: Int) -> Range<Int> {
            let run = ahead.run(.init(space: space, address: base + UInt64(page * pageSize)), store, window: 16)
            let first = Int((run.start - base) >> 12)
            return first..<(first + run.count)
        }
        #expect(ask(20) == 16..<32)
        #expect(ask(32) == 32..<64)
        #expect(ask(64) == 64..<128)
        #expect(ask(128) == 128..<256)
        // Another one meanwhile; what is there already ends a run.
        #expect(ask(697) == 688..<700)
        #expect(ask(701) == 701..<704)
        // Never beyond a chunk.
        #expect(ask(256) == 256..<512)
        #expect(ask(512) == 512..<700)
    }

    @Test func `calls are short while there are faults`() {
        let heat = Heat()
        #expect(heat.pagesPerCall(16) == 16)
        heat.noteFaults(at: .now + .seconds(1))
        #expect(heat.pagesPerCall(16) == 4 && heat.pagesPerCall(1) == 1)
        #expect(heat.takeSpots().isEmpty)
    }
}
