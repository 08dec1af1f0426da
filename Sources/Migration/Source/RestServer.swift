import Containers
import Host
import Model
import Plan
import Synchronization
import Wire

/// Serves the pages that stayed behind in the frozen processes of the source (hybrid): all of them in order, and those first
/// for which a thread of the restored container waits.
///
/// Made by the attempt that froze them, or from its note (`LeftBehind`) by whoever recovers. What it reads now is what was then:
/// nothing runs in these processes any more. To send a page twice is harmless.
final class RestServer: Sendable {
    private let work: [PageSender.Work]
    private let sender: PageSender
    /// Has nothing else to do: who waits must not stand behind megabytes.
    private let urgent: DataSender
    private let begun = Atomic<Bool>(false)

    init(_ work: [PageSender.Work], sender: PageSender, urgent: DataSender) {
        (self.work, self.sender, self.urgent) = (work, sender, urgent)
    }

    /// Answers requests from now on, also those that came before.
    func answer(_ link: SourceLink) throws {
        let requests = Mailbox<PageRequest>()
        // Each question goes through both hosts' control connections and the urgent stream: none of their threads may wait for a
        // turn beside those that move everything else.
        link.setPriority(.realtime(4))
        urgent.connection.setPriority(.realtime(4))
        link.onWanted { requests.post($0) }
        let memories = Dictionary(work.map { ($0.space, $0.memory) }, uniquingKeysWith: { first, _ in first })
        _ = try Host.Thread(named: "urgent", priority: .realtime(4)) { [urgent] in
            while let request = requests.next() {
                guard let memory = memories[request.space], (1...512).contains(request.count) else { continue }
                // The link's loss is told by its own event.
                do { try Self.send(request, memory, urgent) } catch { return }
            }
        }
    }

    /// Sends all, in order. A second call does nothing.
    func sendAll() throws {
        guard !begun.exchange(true, ordering: .relaxed) else { return }
        sender.setPriority(.yielding)
        try sender.send(work, priority: .yielding)
    }

    var pages: Int { work.reduce(0) { $0 + $1.runs.reduce(0) { $0 + $1.count } } }

    private static func send(_ request: PageRequest, _ memory: RemoteMemory, _ stream: DataSender) throws {
        let run = PageRun(start: request.start, count: request.count)
        var bytes = [UInt8](repeating: 0, count: run.byteCount)
        var vanished: [PageRun] = []
        try bytes.withUnsafeMutableBytes { buffer in
            _ = try memory.read([run], into: buffer, vanished: &vanished)
            try stream.pages(space: request.space, address: run.start, bytes: UnsafeRawBufferPointer(buffer))
        }
        try stream.flush()
    }
}

// MARK: the note, for whoever recovers

extension RestServer {
    /// On a tmpfs: after a reboot the processes are gone too.
    private static func note(_ migration: MigrationID) -> String { "\(Places.volatile(migration))/behind" }

    /// Notes what stays behind. Before the decision: from then on these processes hold the only copy.
    static func write(_ work: [PageSender.Work], pids: [SpaceID: Int32], of migration: MigrationID) throws {
        var table = LeftBehind(spaces: [])
        for part in work {
            guard let pid = pids[part.space], let stat = try? ProcessStat.of(pid: pid) else { continue }
            table.spaces.append(.init(space: part.space, pid: pid, startTime: stat.startTime, runs: part.runs))
        }
        try Places.make(Places.volatile(migration))
        try FileIO.writeAtomically(table.encoded, to: note(migration))
    }

    /// From the note of a process that died: with connections of its own.
    /// - Throws: in words, when the note or one of its processes is gone.
    static func recovered(_ migration: MigrationID, link: SourceLink) throws -> RestServer {
        guard let bytes = try FileIO.readIfPresent(note(migration)), let table = LeftBehind(decoding: bytes) else {
            throw Problem(
                what: "serve the pages that stayed behind", why: "\(note(migration)) is not there or not whole",
                hint: "the container at the destination waits for them forever: end it there and start it anew")
        }
        var work: [PageSender.Work] = []
        for space in table.spaces {
            guard let stat = try? ProcessStat.of(pid: space.pid), stat.startTime == space.startTime,
                let live = try ProcFS.liveThread(of: space.pid)
            else {
                throw Problem(
                    what: "serve the pages that stayed behind", why: "process \(space.pid) that held them is gone",
                    hint: "the container at the destination waits for them forever: end it there and start it anew")
            }
            work.append(.init(space: space.space, memory: try RemoteMemory(thread: live.thread), runs: space.runs))
        }
        // Two connections are there in any attempt: its first lane, and the one for what is urgent.
        let bulk = DataSender(try link.open(.data, 0), compression: .auto, limit: nil)
        let urgent = DataSender(try link.open(.data, 1), compression: .none, limit: nil)
        return RestServer(work, sender: PageSender(streams: [bulk], seed: .random(in: .min ... .max)), urgent: urgent)
    }
}
