import Glibc
import Host
import Model
import Pages

enum Harness {
    static func run(_ arguments: [String]) -> Int32 {
        let numbers = arguments.map { Int($0) ?? 0 }
        do {
            switch arguments.first {
            case "serve" where arguments.count == 6: try serve(arguments[1], numbers[2], numbers[3], numbers[4], numbers[5])
            case "keep" where arguments.count == 2: try keep(numbers[1])
            case "measure" where arguments.count == 4: try measure(arguments[1], arguments[2], numbers[3])
            default: return 2
            }
            return 0
        } catch {
            say("error \(error)")
            return 1
        }
    }

    /// Lands the images, serves, fills after FIN (never if `push` is 0), and lives until it is filled or killed. Every
    /// `missing`th page stays missing.
    static func serve(_ folder: String, _ pages: Int, _ processes: Int, _ push: Int, _ missing: Int) throws {
        let store = try PageStore(kind: .memory, capacity: .gibibytes(4))
        for process in 0..<processes {
            try Stamp.land(store, process: process, pages: pages) { missing > 0 && $0 % missing == 0 }
        }
        var options = FaultServer.Options()
        options.pushPages = max(push, 1)
        let mail = Mailbox<FaultServerEvent>()
        let server = try FaultServer(
            store: store, folder: folder, options: options,
            spaceOf: { (1...Int32(processes)).contains($0) ? SpaceID(UInt32($0)) : nil },
            onMissing: { _, run in say("wanted \(run.start)") }, events: { mail.post($0) })
        server.attach(KeeperLink(UnixSocket(OwnedDescriptor(taking: 3))))
        say("listening")
        while let event = mail.next() {
            say("event \(name(event))")
            if case .finished = event, push > 0 { server.startFill() }
            if case .filled = event { return }
        }
    }

    /// Keeps, and on taking over lands what is missing, as a source that is back would.
    static func keep(_ push: Int) throws {
        var options = FaultServer.Options()
        options.pushPages = max(push, 1)
        let mail = Mailbox<FaultServerEvent>()
        say("keeping")
        let outcome = try Keeper.run(connection: UnixSocket(OwnedDescriptor(taking: 3)), options: options) { mail.post($0) }
        guard case .tookOver(let server) = outcome else { return say("outcome \(outcome)") }
        say("outcome tookOver filling \(server.isFilling) finished \(server.isRestoreFinished)")
        if !server.isFilling { server.startFill() }
        for space in server.store.spaces {
            try Stamp.land(
                server.store, space,
                server.store.missingLive(space).flatMap { run in
                    (0..<run.count).map { PageRun(start: run.start + UInt64($0 * 4096), count: 1) }
                })
        }
        while let event = mail.next() {
            say("event \(name(event))")
            if case .filled = event { return }
        }
    }

    static func name(_ event: FaultServerEvent) -> String {
        switch event {
        case .connected(let pid, _): "connected \(pid)"
        case .finished: "finished"
        case .clientLost(let why): "clientLost \(why)"
        case .filled(let figures): "filled pushed \(figures.pushed) present \(figures.present) faults \(figures.faults)"
        case .failed(let error): "failed \(error)"
        case .keeperLost: "keeperLost"
        }
    }
}

/// A line on standard output, at once: the tests read it through a pipe.
func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(1, bytes, bytes.count)
}
