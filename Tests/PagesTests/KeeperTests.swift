import Glibc
import Host
import Model
import Testing
@testable import Pages

/// The server runs in a process of its own (PagesHarness serve) that is killed with SIGKILL; the keeper in another.
@Suite(.tags(.root, .slow), .serialized)
struct KeeperTests {
    private struct Trio {
        let folder = Folder()
        let keeper: Program
        let server: Program
        let client: Program

        init(_ scenario: String, pages: Int, processes: Int = 1, push: Int = 1, missing: Int = 0, seed: Int = 1) throws {
            let pair = try UnixSocket.pair(.messages)
            let harness = try Programs.harness
            keeper = try Program(harness, ["keep", "\(push)"], descriptors: [3: pair.second.descriptor.raw])
            server = try Program(
                harness, ["serve", folder.path, "\(pages)", "\(processes)", "\(push)", "\(missing)"],
                descriptors: [3: pair.first.descriptor.raw])
            #expect(server.lines(until: "listening").last == "listening")
            client = try Programs.client(folder, scenario, pages: pages, processes: processes, seed: seed)
        }
    }

    @Test(arguments: ["plain", "fork", "layout", "torture", "churn"], [0, 2, 5, 10, 20, 40])
    func `a server killed while it serves loses nothing`(scenario: String, milliseconds: Int) throws {
        let processes = scenario == "plain" ? 3 : 1
        let trio = try Trio(scenario, pages: 15000, processes: processes, seed: milliseconds + 1)
        #expect(trio.client.line() == "ready")
        #expect(trio.server.lines(until: "event finished").last == "event finished")
        trio.client.tell("go")
        sleepThread(.milliseconds(milliseconds))  // wherever this meets the fill: every moment must be survived
        try trio.server.child.kill(SIGKILL)
        let story = trio.keeper.lines(until: "event filled")
        let told = trio.client.lines(until: "ok")
        #expect(told.last == "ok", "\(told) \(story)")
        // After a long delay the fill may have ended before the kill; early kills must meet it, or nothing is proven.
        let tookOver = story.contains { $0.hasPrefix("outcome tookOver") }
        #expect(tookOver || (milliseconds > 5 && story.last == "outcome released"), "\(story)")
        // A child that forked in the very instant is reported, never silently wrong.
        #expect(!story.contains { $0.hasPrefix("event failed") && !$0.contains("lost its memory server") }, "\(story)")
    }

    @Test func `a fault that the dead server had read is answered by the keeper`() throws {
        // Every page of the first thousand is missing: each reader waits for a fault that the server has read.
        let trio = try Trio("plain", pages: 1000, missing: 1)
        #expect(trio.server.lines(until: "event finished").last == "event finished")
        trio.client.tell("go")
        #expect(trio.server.lines(until: "wanted").last?.hasPrefix("wanted") == true)  // read, and not answered
        try trio.server.child.kill(SIGKILL)
        #expect(trio.keeper.lines(until: "event filled").contains { $0.hasPrefix("outcome tookOver") })
        #expect(trio.client.lines(until: "ok").last == "ok")
    }

    @Test func `a server killed before the fill leaves a keeper that serves and can fill`() throws {
        let trio = try Trio("plain", pages: 3000, processes: 2, push: 0)  // 0: it never begins to fill
        #expect(trio.server.lines(until: "event finished").last == "event finished")
        try trio.server.child.kill(SIGKILL)
        trio.client.tell("go")
        let story = trio.keeper.lines(until: "event filled")
        #expect(story.contains("outcome tookOver filling false finished true"), "\(story)")
        #expect(trio.client.lines(until: "ok").last == "ok")
    }

    @Test func `a session that gives up in an orderly way releases its keeper`() throws {
        let folder = Folder()
        let store = try PageStore(kind: .memory, capacity: .mebibytes(64))
        try Stamp.land(store, process: 0, pages: 2000)
        let pair = try UnixSocket.pair(.messages)
        let keeper = try Program(try Programs.harness, ["keep", "16"], descriptors: [3: pair.second.descriptor.raw])
        let served = try Served(store, folder, processes: 1)
        var link: KeeperLink?
        pair.split { first, _ in link = KeeperLink(first) }
        served.server.attach(try #require(link))
        let client = try Programs.client(folder, "plain", pages: 2000)
        try served.untilFinished()
        served.server.stop()
        #expect(keeper.lines(until: "outcome").last == "outcome released")
        _ = client  // its process ends with the test
    }

    @Test func `a dead keeper is reported and a new one takes its place`() throws {
        let folder = Folder()
        let pages = 3000
        let store = try PageStore(kind: .memory, capacity: .gibibytes(1))
        try Stamp.land(store, process: 0, pages: pages) { $0 == 7 }
        let served = try Served(store, folder, processes: 1)
        var keepers: [Program] = []
        func attach() throws {
            let pair = try UnixSocket.pair(.messages)
            keepers.append(try Program(try Programs.harness, ["keep", "16"], descriptors: [3: pair.second.descriptor.raw]))
            pair.split { first, _ in served.server.attach(KeeperLink(first)) }
        }
        try attach()
        let client = try Programs.client(folder, "plain", pages: pages)
        try served.untilFinished()
        client.tell("go")
        served.server.startFill()
        for _ in 0..<2 {
            try keepers.last?.child.kill(SIGKILL)
            try served.events { if case .keeperLost = $0 { true } else { false } }
            try attach()
        }
        try Stamp.land(store, SpaceID(1), store.missingLive(SpaceID(1)))
        _ = try served.untilFilled()
        #expect(keepers.last?.lines(until: "outcome").last == "outcome released")
        #expect(client.lines(until: "ok").last == "ok")
    }

    @Test func `a keeper whose session never began has nothing to keep`() throws {
        let pair = try UnixSocket.pair(.messages)
        let keeper = try Program(try Programs.harness, ["keep", "16"], descriptors: [3: pair.second.descriptor.raw])
        #expect(keeper.line() == "keeping")
        pair.split { _, _ in }  // both ends closed here
        #expect(keeper.lines(until: "outcome").last == "outcome nothingToKeep")
    }

    @Test func `a keeper refuses a connection that speaks another language`() throws {
        let pair = try UnixSocket.pair(.messages)
        let keeper = try Program(try Programs.harness, ["keep", "16"], descriptors: [3: pair.second.descriptor.raw])
        try pair.first.send([9, 9, 9])
        #expect(keeper.lines(until: "error").last?.contains("isn't one of ours") == true)
    }
}
