import CLinux
import Glibc
import Host
import Model
import Pages
import Plan
import Synchronization
import Wire

/// Sends pages of running processes over the data streams: read in runs, found zero, same or new, framed.
///
/// Each stream has its own thread and its own share of the address space (2 MiB pieces, dealt by number), so that pages
/// of one address always travel on one stream, in order, and the table of what was sent needs no lock.
final class PageSender: Sendable {
    /// A list of runs of one address space to send, and how to read them.
    struct Work: Sendable {
        var space: SpaceID
        var memory: RemoteMemory
        var runs: [PageRun]
    }

    private let lanes: [Lane]
    let counters = Counters()

    /// Counted by the lanes, read by whoever shows progress.
    final class Counters: Sendable {
        let pages = Atomic<Int>(0)
        let zero = Atomic<Int>(0)
        let same = Atomic<Int>(0)
        let vanished = Atomic<Int>(0)

        /// Pages that did not travel: of zeros, and with the content that was sent before.
        var skipped: (zero: Int, same: Int) { (zero.load(ordering: .relaxed), same.load(ordering: .relaxed)) }
    }

    /// Told what was read and sent, batch by batch: pages packed one behind the other, valid during the call.
    typealias Witness = @Sendable (SpaceID, [PageRun], UnsafeRawBufferPointer) -> Void

    init(streams: [DataSender], seed: UInt64, witness: Witness? = nil) {
        let counters = counters
        lanes = streams.indices.map {
            Lane(number: $0, of: streams.count, stream: streams[$0], seed: seed, counters: counters, witness: witness)
        }
    }

    /// Sends all of it and returns when every byte was handed to the kernel or is queued in a stream.
    /// - Parameters:
    ///   - priority: of the sending threads; raised in the frozen pass.
    ///   - sparing: leave a processor to others: where there aren't more of them than lanes, one thread does all.
    func send(_ work: [Work], priority: Host.Thread.Priority = .normal, sparing: Bool = false) throws {
        let failure = Mutex<(any Error)?>(nil)
        let box = FailureBox(failure)
        var threads: [Host.Thread] = []
        let shares = sparing && sysconf(Int32(_SC_NPROCESSORS_ONLN)) <= lanes.count ? [lanes] : lanes.map { [$0] }
        for share in shares {
            threads.append(
                try Host.Thread(named: "send-\(share[0].number)", priority: priority) {
                    for lane in share where box.error == nil { do { try lane.send(work) } catch { box.set(error) } }
                })
        }
        for thread in threads { thread.join() }
        if let error = box.error { throw error }
    }

    /// Of the streams' own threads.
    func setPriority(_ priority: Host.Thread.Priority) { for lane in lanes { lane.stream.connection.setPriority(priority) } }

    /// Forgets what was sent of spaces that are no more.
    func forget(_ spaces: [SpaceID]) { for lane in lanes { lane.forget(spaces) } }

    /// Forgets what was sent of some pages: they go again when they are found.
    func forget(_ pages: [PageRequest]) { for lane in lanes { lane.forget(pages) } }

    /// Goes on over other connections, as many as before. What was on its way on the old ones is for the caller to find out.
    func goOn(over streams: [DataSender]) { for lane in lanes { lane.stream = streams[lane.number] } }

    /// Says what was sent last of each page that is remembered, so that the destination compares it with what it has.
    func sendHeld() throws { for lane in lanes { try lane.sendHeld() } }
}

/// The first error of several threads.
final class FailureBox: Sendable {
    private let first: Mutex<(any Error)?>
    init(_ first: consuming sending Mutex<(any Error)?> = Mutex(nil)) { self.first = first }
    func set(_ error: any Error) { first.withLock { if $0 == nil { $0 = error } } }
    var error: (any Error)? { first.withLock { $0 } }
}

/// One stream's share of the work.
private final class Lane: @unchecked Sendable {
    // SAFETY: `sent`, `buffer` and `stream` are touched only by `send`, `sendHeld`, `forget` and who sets `stream`, which the owner
    // never does at the same time.
    let number: Int
    private let count: Int
    var stream: DataSender
    private let counters: PageSender.Counters
    private let witness: PageSender.Witness?
    private var sent: SentPages
    private let buffer: UnsafeMutableRawBufferPointer

    /// 2 MiB: below it each call's cost shows, above it the cache suffers. Also the longest frame.
    private static let capacity = 512 * pageSize
    private static let pieceShift: UInt64 = 21

    init(
        number: Int, of count: Int, stream: DataSender, seed: UInt64, counters: PageSender.Counters, witness: PageSender.Witness?
    ) {
        (self.number, self.count, self.stream, self.counters) = (number, count, stream, counters)
        self.witness = witness
        // All lanes together remember 64 GiB: what bounds this process, however large the container is.
        sent = SentPages(seed: seed, memory: ByteCount(ByteCount.mebibytes(128).rawValue / count))
        buffer = .allocate(byteCount: Self.capacity, alignment: pageSize)
    }

    deinit { buffer.deallocate() }

    func forget(_ spaces: [SpaceID]) { for space in spaces { sent.drop(space) } }

    func forget(_ pages: [PageRequest]) {
        for part in pages where part.count > 0 { sent.forget(part.space, PageRun(start: part.start, count: part.count)) }
    }

    func sendHeld() throws {
        let stream = stream
        try sent.eachPiece { space, address, marks in try stream.held(space: space, address: address, marks: marks) }
        try stream.flush()
    }

    func send(_ work: [PageSender.Work]) throws {
        var batch: [PageRun] = []
        batch.reserveCapacity(512)
        for part in work {
            var pages = 0
            for run in part.runs {
                var start = run.start
                while start < run.end {
                    let pieceEnd = ((start >> Self.pieceShift) + 1) << Self.pieceShift
                    let end = min(pieceEnd, run.end)
                    defer { start = end }
                    guard Int(start >> Self.pieceShift) % count == number else { continue }
                    let n = Int(end - start) / pageSize
                    if pages + n > 512 {
                        try flush(batch, part)
                        batch.removeAll(keepingCapacity: true)
                        pages = 0
                    }
                    batch.append(PageRun(start: start, count: n))
                    pages += n
                }
            }
            if !batch.isEmpty { try flush(batch, part) }
            batch.removeAll(keepingCapacity: true)
        }
        try stream.flush()
    }

    private func flush(_ runs: [PageRun], _ part: PageSender.Work) throws {
        var vanished: [PageRun] = []
        guard try read(runs, part.memory, &vanished) else { return }
        // What has vanished reads as zeros here and is not among the live pages at the end: sending zeros is right either way.
        if !vanished.isEmpty { counters.vanished.add(vanished.reduce(0) { $0 + $1.count }, ordering: .relaxed) }
        var offset = 0
        witness?(part.space, runs, UnsafeRawBufferPointer(buffer))
        for run in runs {
            try classify(run, UnsafeRawBufferPointer(rebasing: buffer[offset..<(offset + run.byteCount)]), part.space)
            offset += run.byteCount
        }
    }

    /// - Returns: false if the process is gone: the next round says so.
    private func read(_ runs: [PageRun], _ memory: RemoteMemory, _ vanished: inout [PageRun]) throws(SystemError) -> Bool {
        do throws(SystemError) {
            _ = try memory.read(runs, into: buffer, vanished: &vanished)
            return true
        } catch {
            if error.errno == ESRCH { return false }
            throw error
        }
    }

    /// Splits a run into stretches of zero, same and new pages and sends the zero and new ones.
    private func classify(_ run: PageRun, _ bytes: UnsafeRawBufferPointer, _ space: SpaceID) throws {
        var begin = 0
        var kind = PageKind.same
        for index in 0...run.count {
            let next =
                index < run.count
                ? sent.note(space, run.start + UInt64(index * pageSize), bytes.baseAddress! + index * pageSize) : nil
            if next == kind && index > 0 { continue }
            if index > begin {
                try emit(kind, PageRun(start: run.start + UInt64(begin * pageSize), count: index - begin), bytes, begin, space)
            }
            begin = index
            if let next { kind = next }
        }
    }

    private func emit(_ kind: PageKind, _ run: PageRun, _ bytes: UnsafeRawBufferPointer, _ index: Int, _ space: SpaceID) throws {
        switch kind {
        case .same: counters.same.add(run.count, ordering: .relaxed)
        case .zero:
            try stream.zero(space: space, run: run)
            counters.zero.add(run.count, ordering: .relaxed)
        case .new:
            let start = index * pageSize
            try stream.pages(
                space: space, address: run.start, bytes: UnsafeRawBufferPointer(rebasing: bytes[start..<(start + run.byteCount)]))
        }
        counters.pages.add(run.count, ordering: .relaxed)
    }
}
