import Containers
import Host
import Model
import Pages
import Synchronization
import Wire

/// Which marks have come on which stream. A mark says that all before it on its stream has landed.
final class LandingMarks: Sendable {
    private let streams: Int
    private let latest: Monitor<[Int: Set<UInt64>]>
    private let onComplete: @Sendable (UInt64) -> Void

    /// The mark behind the last page of a migration; rounds carry their numbers.
    static let final: UInt64 = 1 << 32
    /// The mark behind the hashes that are compared after a loss of the link.
    static func comparison(_ number: Int) -> UInt64 { 1 << 33 + UInt64(number) }
    static func isComparison(_ token: UInt64) -> Bool { token >= 1 << 33 }

    init(streams: Int, onComplete: @escaping @Sendable (UInt64) -> Void) {
        self.streams = streams
        self.onComplete = onComplete
        latest = Monitor([:])
    }

    func note(_ stream: Int, _ token: UInt64) {
        let complete = latest.withLock { marks in
            marks[stream, default: []].insert(token)
            return (0..<streams).allSatisfy { marks[$0]?.contains(token) ?? false }
        }
        if complete { onComplete(token) }
    }

    /// Waits until a mark has come on every stream.
    func wait(for token: UInt64, within limit: Duration) -> Bool {
        latest.wait(until: .now + limit) { marks in
            (0..<streams).allSatisfy { marks[$0]?.contains(token) ?? false } ? true : nil
        } ?? false
    }
}

/// What comes on one data stream goes to the page store and to the folder of images.
final class StoreSink: FrameSink {
    private let stream: Int
    private let store: PageStore
    private let shared: SharedStore
    private let images: ImageReceiver?
    private let frames: FrameInbox?
    private let marks: LandingMarks?
    private let files: FilePages?
    private let comparison: HeldPages?
    private let common: CommonPages?
    /// Spaces whose live set has been begun by this migration's final list.
    private let onEnd: @Sendable () -> Void

    /// - Parameters images, frames, marks, files: nil in a session that took over after the restore.
    init(
        stream: Int, store: PageStore, shared: SharedStore, images: ImageReceiver?, frames: FrameInbox?, marks: LandingMarks?,
        files: FilePages?, common: CommonPages? = nil, comparison: HeldPages? = nil,
        onEnd: @escaping @Sendable () -> Void = {}
    ) {
        self.comparison = comparison
        (self.stream, self.store, self.images, self.frames, self.marks) = (stream, store, images, frames, marks)
        (self.shared, self.files, self.common, self.onEnd) = (shared, files, common, onEnd)
    }

    func pages(space: SpaceID, address: UInt64, bytes: UnsafeRawBufferPointer) throws(SinkFailure) {
        do {
            if space.isShared {
                try shared.land(space, address: address, bytes)
            } else {
                try store.land(space, address: address, bytes)
                common?.landed(space, PageRun(start: address, count: bytes.count / pageSize))
                if let files, space.isOfFiles { files.landed(space, PageRun(start: address, count: bytes.count / pageSize)) }
            }
        } catch { throw SinkFailure("\(error)") }
    }

    func zero(space: SpaceID, run: PageRun) throws(SinkFailure) {
        do { if space.isShared { try shared.landZero(space, run) } else { try store.landZero(space, run) } } catch {
            throw SinkFailure("\(error)")
        }
        common?.landed(space, run)
        files?.landed(space, run)
    }

    func stale(space: SpaceID, run: PageRun) throws(SinkFailure) {
        do { try store.forget(space, run) } catch { throw SinkFailure("\(error)") }
        common?.landed(space, run)
    }

    func held(space: SpaceID, address: UInt64, marks: UnsafeRawBufferPointer) throws(SinkFailure) {
        guard let comparison else { throw SinkFailure("hashes came to be compared with nothing") }
        comparison.compare(space, address, marks)
    }

    func live(space: SpaceID, runs: [PageRun]) throws(SinkFailure) {
        do { try store.addLive(space, runs) } catch { throw SinkFailure("\(error)") }
    }

    func blob(id: UInt32, offset: UInt64, bytes: UnsafeRawBufferPointer) throws(SinkFailure) {
        guard let images else { throw SinkFailure("an image came after the restore") }
        try images.take(id: id, offset: offset, bytes: bytes)
    }

    func packet(interface: Int, bytes: UnsafeRawBufferPointer) throws(SinkFailure) {
        try frames?.take(CapturedFrame(interface: interface, bytes: Array(bytes)))
    }

    func mark(token: UInt64) throws(SinkFailure) { marks?.note(stream, token) }

    func end() throws(SinkFailure) { onEnd() }
}
