import Model
import Wire

/// A data stream that only measures the link (`martlet plan`): filler and nothing else, at any time, kept nowhere.
enum LinkProbe {
    /// Its number; data streams of a migration have lower ones.
    static let stream = 255
    /// Half a second at 5 Gbit/s, and long enough at 50 Mbit/s to be behind TCP's start.
    static let burst = ByteCount.mebibytes(256)

    static func receive(_ connection: Connection) { _ = DataReceiver(connection, sink: Nothing()) { _ in } }

    /// Whatever is not filler has no place here.
    private final class Nothing: FrameSink {
        private func refuse() throws(SinkFailure) -> Never {
            throw SinkFailure("a stream that measures the link carries only filler")
        }
        func pages(space: SpaceID, address: UInt64, bytes: UnsafeRawBufferPointer) throws(SinkFailure) { try refuse() }
        func zero(space: SpaceID, run: PageRun) throws(SinkFailure) { try refuse() }
        func stale(space: SpaceID, run: PageRun) throws(SinkFailure) { try refuse() }
        func held(space: SpaceID, address: UInt64, marks: UnsafeRawBufferPointer) throws(SinkFailure) { try refuse() }
        func live(space: SpaceID, runs: [PageRun]) throws(SinkFailure) { try refuse() }
        func blob(id: UInt32, offset: UInt64, bytes: UnsafeRawBufferPointer) throws(SinkFailure) { try refuse() }
        func packet(interface: Int, bytes: UnsafeRawBufferPointer) throws(SinkFailure) { try refuse() }
        func mark(token: UInt64) throws(SinkFailure) {}
        func end() throws(SinkFailure) {}
    }
}
