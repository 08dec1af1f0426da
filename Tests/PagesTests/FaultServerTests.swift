import Glibc
import Host
import Model
import Synchronization
import Testing
@testable import Pages

/// Each runs lazyclient.c as CRIU and as the restored processes, which check every page themselves.
@Suite(.tags(.root), .serialized)
struct FaultServerTests {
    private static func store(_ processes: Int, pages: Int, missing: (Int) -> Bool = { _ in false }) throws -> PageStore {
        let store = try PageStore(kind: .memory, capacity: .gibibytes(4))
        for process in 0..<processes { try Stamp.land(store, process: process, pages: pages, missing: missing) }
        return store
    }

    @Test(arguments: [
        ("plain", 20000, 1), ("plain", 1500, 30), ("fork", 12000, 1), ("fork", 2000, 4), ("layout", 15000, 1),
        ("layout", 3000, 6), ("torture", 8000, 2), ("churn", 15000, 1),
    ])
    func `restored processes find every page while it is filled`(scenario: String, pages: Int, processes: Int) throws {
        for (round, pushPages) in [16, 1].enumerated() {
            let folder = Folder()
            var options = FaultServer.Options()
            options.pushPages = pushPages  // one page a call makes the fill long enough to meet every event
            options.hotFirst = round == 1
            let served = try Served(try Self.store(processes, pages: pages), folder, processes: processes, options: options)
            let client = try Programs.client(folder, scenario, pages: pages, processes: processes, seed: round + 1)
            #expect(client.line() == "ready")
            try served.untilFinished()
            client.tell("go")
            if round == 1 { sleepThread(.milliseconds(5)) }  // in the midst of what the processes do
            served.server.startFill()
            let figures = try served.untilFilled()
            #expect(client.lines(until: "ok") == ["ok"])
            #expect(try client.end() == .exited(0))
            #expect(figures.tasks >= processes)
            if scenario == "fork" { #expect(figures.pushed + figures.copied > 0) }
        }
    }

    @Test(arguments: ["plain", "fork", "layout", "torture", "churn"])
    func `faults are answered and changes followed before the fill begins`(scenario: String) throws {
        let folder = Folder()
        let served = try Served(try Self.store(2, pages: 3000), folder, processes: 2)
        let client = try Programs.client(folder, scenario, pages: 3000, processes: 2)
        try served.untilFinished()
        client.tell("go")
        #expect(client.lines(until: "ok") == ["ready", "ok"])
        served.server.startFill()
        let figures = try served.untilFilled()  // the processes are gone: there is nothing left to push
        #expect(figures.faults >= 1000)
        #expect(figures.pushed == 0)
        if scenario == "fork" || scenario == "torture" { #expect(figures.forks > 0) }
        if scenario == "layout" || scenario == "torture" { #expect(figures.moves > 0 && figures.removals > 0) }
        if scenario == "churn" { #expect(figures.removals > 1000) }
    }

    @Test func `a process without an image reads zeros`() throws {
        let folder = Folder()
        let store = try PageStore(kind: .memory, capacity: .mebibytes(16))
        let mail = Mailbox<FaultServerEvent>()
        let server = try FaultServer(store: store, folder: folder.path, spaceOf: { _ in nil }, events: { mail.post($0) })
        let client = try Programs.client(folder, "plain", pages: 4)
        #expect(client.line() == "ready")
        client.tell("go")
        // It stops at its first page that should hold a stamp, and finds zeros there: not a hang, not garbage.
        #expect(client.line()?.contains("found 0 wanted") == true)
        server.stop()
    }

    @Test func `missing pages are asked for once and given when they land`() throws {
        let folder = Folder()
        let pages = 6000
        let wanted = Mutex<[UInt64: Int]>([:])
        let requests = Mailbox<PageRun>()
        let store = try Self.store(1, pages: pages) { $0 % 3 == 0 }
        let served = try Served(
            store, folder, processes: 1,
            onMissing: { _, run in
                wanted.withLock { $0[run.start, default: 0] += 1 }
                requests.post(run)
            })
        let client = try Programs.client(folder, "plain", pages: pages)
        try served.untilFinished()
        client.tell("go")
        served.server.startFill()
        // Urgent pages as they are asked for, a hundred of them; then the rest, as the background fetch brings it.
        for _ in 0..<100 {
            let run = try #require(requests.next(deadline: .now + .seconds(60)))
            #expect(run.count == 1)
            try Stamp.land(store, SpaceID(1), [run])
        }
        #expect(!store.missingLive(SpaceID(1)).isEmpty)
        try Stamp.land(store, SpaceID(1), store.missingLive(SpaceID(1)))
        let figures = try served.untilFilled()
        #expect(client.lines(until: "ok").last == "ok")
        #expect(figures.fetched >= 100)
        #expect(wanted.withLock { $0.values.allSatisfy { $0 == 1 } })
    }

    @Test func `a source that comes back is asked again`() throws {
        let folder = Folder()
        let requests = Mailbox<PageRun>()
        let store = try Self.store(1, pages: 500) { $0 == 100 }
        let served = try Served(store, folder, processes: 1, onMissing: { _, run in requests.post(run) })
        let client = try Programs.client(folder, "plain", pages: 500)
        try served.untilFinished()
        client.tell("go")
        served.server.startFill()
        let first = try #require(requests.next(deadline: .now + .seconds(60)))
        served.server.askAgain()
        let again = try #require(requests.next(deadline: .now + .seconds(60)))
        #expect(first == again)
        try Stamp.land(store, SpaceID(1), [again])
        #expect(client.lines(until: "ok").last == "ok")
        _ = try served.untilFilled()
    }

    @Test func `the fill ends when every process has died, missing pages or not`() throws {
        let folder = Folder()
        let store = try Self.store(3, pages: 500) { $0 == 100 }
        let served = try Served(store, folder, processes: 3)
        let client = try Programs.client(folder, "early", pages: 500, processes: 3)
        try served.untilFinished()
        client.tell("go")
        #expect(client.lines(until: "ok").last == "ok")
        served.server.startFill()
        _ = try served.untilFilled()
        #expect(store.missingLive(SpaceID(1)).isEmpty)
    }

    @Test func `the store's memory goes back to the host behind the pusher`() throws {
        let folder = Folder()
        let store = try Self.store(1, pages: 5120)
        let served = try Served(store, folder, processes: 1)
        let client = try Programs.client(folder, "plain", pages: 5120)
        try served.untilFinished()
        var status = stat()
        fstat(store.dataDescriptor, &status)
        #expect(status.st_blocks * 512 > 3900 * pageSize)
        served.server.startFill()
        _ = try served.untilFilled()
        fstat(store.dataDescriptor, &status)
        #expect(status.st_blocks == 0)
        client.tell("go")
        #expect(client.lines(until: "ok").last == "ok")
    }

    // MARK: clients that misbehave

    enum Misdeed: CaseIterable {
        case nothing, garbage, halfPid, zeroPid, noDescriptor, twoDescriptors, wrongDescriptor, descriptorWithPid, afterFinish,
            silence
    }

    @Test(arguments: Misdeed.allCases)
    func `a client that sends nonsense is told off and harms nobody`(misdeed: Misdeed) throws {
        let folder = Folder()
        let store = try Self.store(1, pages: 2000)
        let served = try Served(store, folder, processes: 1)
        do {
            let socket = try UnixSocket.connect(to: folder.path + "/lazy-pages.socket", .stream)
            let pid: [UInt8] = [1, 0, 0, 0], file = try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR)
            switch misdeed {
            case .nothing: break
            case .garbage: try socket.send([UInt8](repeating: 0xA5, count: 5000))
            case .halfPid: try socket.send([1, 0])
            case .zeroPid: try socket.send([0, 0, 0, 0])
            case .noDescriptor: try socket.send(pid + [0])
            case .twoDescriptors:
                try socket.send(pid)
                try socket.send([0], descriptors: [file.raw, file.raw])
            case .wrongDescriptor:
                try socket.send(pid)
                try socket.send([0], descriptors: [file.raw])
            case .descriptorWithPid: try socket.send(pid, descriptors: [file.raw])
            case .afterFinish: try socket.send([0x46, 0x54, 0x53, 0x52, 1, 0, 0, 0])
            case .silence: try socket.send(pid)  // and stays connected beside the honest client
            }
            if misdeed == .silence {
                try Self.serveHonestly(served, folder)
                return
            }
        }
        if misdeed == .afterFinish { try served.untilFinished() }
        try served.events { if case .clientLost(let why) = $0 { !why.isEmpty } else { false } }
        try Self.serveHonestly(served, folder, finished: misdeed == .afterFinish)
    }

    private static func serveHonestly(_ served: Served, _ folder: Folder, finished: Bool = false) throws {
        let client = try Programs.client(folder, "plain", pages: 2000)
        #expect(client.line() == "ready")
        try served.events { if case .connected = $0 { true } else { false } }
        client.tell("go")
        served.server.startFill()
        _ = try served.untilFilled()
        #expect(client.lines(until: "ok").last == "ok")
    }

    @Test func `work folders with long paths and sockets left behind are no obstacle`() throws {
        let folder = Folder()
        let deep = folder.path + "/" + String(repeating: "d", count: 150)
        #expect(mkdir(deep, 0o700) == 0)
        let store = try PageStore(kind: .memory, capacity: .mebibytes(16))
        for _ in 0..<2 {
            let server = try FaultServer(store: store, folder: deep, spaceOf: { _ in nil }, events: { _ in })
            #expect(access(deep + "/lazy-pages.socket", F_OK) == 0)
            server.stop()
            #expect(access(deep + "/lazy-pages.socket", F_OK) != 0)
            close(open(deep + "/lazy-pages.socket", O_CREAT | O_WRONLY, 0o600))
        }
    }
}
