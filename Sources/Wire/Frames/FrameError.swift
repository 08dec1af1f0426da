/// Why bytes that came on a data stream are no frame. Each case says what came; the text says what was due.
public enum FrameError: Error, Equatable, Sendable, CustomStringConvertible {
    case kind(came: UInt8)
    case codec(came: UInt8, kind: FrameKind)
    case reserved(came: UInt16)
    case count(kind: FrameKind, came: UInt32, due: ClosedRange<UInt32>)
    case payloadLength(kind: FrameKind, came: UInt32, due: ClosedRange<UInt32>)
    case fieldNotZero(kind: FrameKind, field: String, came: UInt64)
    case space(kind: FrameKind)
    case misaligned(kind: FrameKind, address: UInt64)
    case range(kind: FrameKind, start: UInt64, length: UInt64)
    case liveRun(index: Int, start: UInt64, count: UInt32, filler: UInt32)
    case decompression(codec: Codec, came: Int?, due: Int)
    /// The connection ended without the end frame. `inside` is the frame that was cut off, if any.
    case truncated(inside: FrameKind?)
    case afterEnd(bytes: Int)
    /// The receiver of pages gave up (no room, write error); the stream itself was in order.
    case sink(String)

    public var description: String {
        switch self {
        case .kind(let came): "frame kind \(came) came, 1 to \(FrameKind.allCases.count) was due"
        case .codec(let came, let kind): "codec \(came) came in a \(kind) frame, \(kind.codecsDue) was due"
        case .reserved(let came): "reserved field \(came) came, zero was due"
        case .count(let kind, let came, let due):
            "a \(kind) frame with count \(came) came, \(due.lowerBound) to \(due.upperBound) was due"
        case .payloadLength(let kind, let came, let due):
            due.count == 1
                ? "a \(kind) frame with \(came) bytes of payload came, \(due.lowerBound) were due"
                : "a \(kind) frame with \(came) bytes of payload came, \(due.lowerBound) to \(due.upperBound) were due"
        case .fieldNotZero(let kind, let field, let came): "a \(kind) frame with \(field) \(came) came, zero was due"
        case .space(let kind): "a \(kind) frame for address space 0 came, 1 or more was due"
        case .misaligned(let kind, let address):
            "a \(kind) frame at address 0x\(String(address, radix: 16)) came, a page's start was due"
        case .range(let kind, let start, let length):
            "a \(kind) frame from 0x\(String(start, radix: 16)) on, \(length) bytes long, came: beyond the limit"
        case .liveRun(let index, let start, let count, let filler):
            "live run \(index) came as start 0x\(String(start, radix: 16)), count \(count), filler \(filler); "
                + "a page's start, 1 or more pages below the limit, and zero were due"
        case .decompression(let codec, let came, let due):
            "\(codec) data that unpacks to \(came.map { "\($0) bytes" } ?? "nothing") came, \(due) bytes were due"
        case .truncated(let inside):
            inside.map { "the stream ended inside a \($0) frame" } ?? "the stream ended without an end frame"
        case .afterEnd(let bytes): "\(bytes) bytes came after the end frame, none were due"
        case .sink(let text): "the received data could not be stored: \(text)"
        }
    }
}
