import Model
import Synchronization

@testable import Wire

/// Writes down what a reader hands over. Pieces of one frame are joined, so that piece sizes don't matter.
final class RecordingSink: FrameSink {
    enum Event: Equatable {
        case pages(UInt32, UInt64, [UInt8])
        case zero(UInt32, PageRun)
        case stale(UInt32, PageRun)
        case live(UInt32, [PageRun])
        case held(UInt32, UInt64, [UInt8])
        case blob(UInt32, UInt64, [UInt8])
        case packet(Int, [UInt8])
        case mark(UInt64)
        case end
    }

    private let state = Mutex<[Event]>([])
    private let failing: String?

    init(failing: String? = nil) { self.failing = failing }

    var events: [Event] { state.withLock { $0 } }

    func pages(space: SpaceID, address: UInt64, bytes: UnsafeRawBufferPointer) throws(SinkFailure) {
        if let failing { throw SinkFailure(failing) }
        state.withLock { events in
            if case .pages(space.rawValue, let start, let old) = events.last, start + UInt64(old.count) == address {
                events[events.count - 1] = .pages(space.rawValue, start, old + bytes)
            } else {
                events.append(.pages(space.rawValue, address, Array(bytes)))
            }
        }
    }

    func zero(space: SpaceID, run: PageRun) { state.withLock { $0.append(.zero(space.rawValue, run)) } }
    func stale(space: SpaceID, run: PageRun) { state.withLock { $0.append(.stale(space.rawValue, run)) } }
    func held(space: SpaceID, address: UInt64, marks: UnsafeRawBufferPointer) {
        state.withLock { $0.append(.held(space.rawValue, address, Array(marks))) }
    }
    func live(space: SpaceID, runs: [PageRun]) { state.withLock { $0.append(.live(space.rawValue, runs)) } }

    func blob(id: UInt32, offset: UInt64, bytes: UnsafeRawBufferPointer) {
        state.withLock { events in
            if case .blob(id, let start, let old) = events.last, start + UInt64(old.count) == offset {
                events[events.count - 1] = .blob(id, start, old + bytes)
            } else {
                events.append(.blob(id, offset, Array(bytes)))
            }
        }
    }

    func packet(interface: Int, bytes: UnsafeRawBufferPointer) {
        state.withLock { $0.append(.packet(interface, Array(bytes))) }
    }

    func mark(token: UInt64) { state.withLock { $0.append(.mark(token)) } }
    func end() { state.withLock { $0.append(.end) } }
}

/// Bytes from a fixed seed, so that a failing case can be run again (SplitMix64).
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
    /// Bytes that don't compress.
    mutating func noise(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count { withUnsafeBytes(of: next()) { bytes.append(contentsOf: $0) } }
        return Array(bytes.prefix(count))
    }
}

/// Bytes that compress about as well as a heap does.
func texture(_ count: Int, seed: Int = 1) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 / 16) &* seed ^ ($0 % 16)) }
}

/// A frame made by hand.
func frame(_ header: FrameHeader, _ payload: [UInt8] = []) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: FrameHeader.byteCount)
    bytes.withUnsafeMutableBytes { header.store(in: $0) }
    return bytes + payload
}

/// Feeds a stream in pieces and says what came of it.
func read(_ stream: [UInt8], piece: Int = .max, to sink: RecordingSink = RecordingSink()) -> (RecordingSink, FrameError?) {
    var reader = FrameReader()
    var offset = 0
    while offset < stream.count {
        let length = min(piece, stream.count - offset)
        if let error = feed(&reader, Array(stream[offset..<(offset + length)]), sink) { return (sink, error) }
        offset += length
    }
    do { try reader.finish() } catch { return (sink, error) }
    return (sink, nil)
}

/// Feeds one piece. Apart from `read` because the two in one function crash the optimiser of Swift 6.3.1.
@inline(never)
func feed(_ reader: inout FrameReader, _ piece: [UInt8], _ sink: RecordingSink) -> FrameError? {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: piece.count, alignment: 1)
    defer { bytes.deallocate() }
    bytes.copyBytes(from: piece)
    do { try reader.feed(UnsafeRawBufferPointer(bytes), to: sink) } catch { return error }
    return nil
}
