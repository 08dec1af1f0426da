public import Model

/// Takes the bytes of a data stream as they come, in pieces of any size, and calls the sink.
///
/// Unpacked pages go to the sink straight from the piece that holds them; only a page that two pieces share is put
/// together in a page of its own. Packed payloads and live lists are collected first. After the first error the
/// reader takes nothing more. It never crashes, whatever comes.
public struct FrameReader: ~Copyable {
    private enum State {
        case header(filled: Int)
        /// Content that needs no unpacking; `done` bytes were handed over or stand in the shared page.
        case content(FrameHeader, done: Int)
        /// A payload that is needed whole, `filled` bytes of it in `packed`.
        case collecting(FrameHeader, filled: Int)
        case skipping(FrameHeader, left: Int)
        case ended
        case failed(FrameError)
    }

    private var state: State = .header(filled: 0)
    /// The header being put together, and behind it the page that two pieces share.
    private let small: UnsafeMutableRawBufferPointer
    private var packed: UnsafeMutableRawBufferPointer?
    private var unpacked: UnsafeMutableRawBufferPointer?
    private var unpacker: Unpacker?

    /// Bytes that came, headers included.
    public private(set) var bytesReceived = ByteCount.zero
    /// Frames that came whole.
    public private(set) var framesReceived = 0

    public init() {
        small = .allocate(byteCount: FrameHeader.byteCount + pageSize, alignment: 8)
        packed = nil
        unpacked = nil
        unpacker = nil
    }

    deinit {
        small.deallocate()
        packed?.deallocate()
        unpacked?.deallocate()
    }

    /// True after the end frame.
    public var hasEnded: Bool {
        if case .ended = state { true } else { false }
    }

    /// Takes the next piece of the stream.
    /// - Throws: what came and what was due; the same again at every later call.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer, to sink: any FrameSink) throws(FrameError) {
        bytesReceived = bytesReceived + ByteCount(bytes.count)
        do {
            var rest = bytes
            while !rest.isEmpty {
                rest = rest.dropping(try step(rest, sink))
            }
        } catch {
            state = .failed(error)
            throw error
        }
    }

    /// Says that the connection has ended.
    /// - Throws: `truncated` when it ended before the end frame, or the error of an earlier call.
    public func finish() throws(FrameError) {
        switch state {
        case .ended: return
        case .failed(let error): throw error
        case .header(filled: 0): throw .truncated(inside: nil)
        case .header(let filled): throw .truncated(inside: filled > 0 ? FrameKind(rawValue: small[0]) : nil)
        case .content(let header, _), .collecting(let header, _), .skipping(let header, _):
            throw .truncated(inside: header.kind)
        }
    }

    /// Handles the start of `bytes`, which are not empty; returns how many it took.
    private mutating func step(_ bytes: UnsafeRawBufferPointer, _ sink: any FrameSink) throws(FrameError) -> Int {
        switch state {
        case .failed(let error): throw error
        case .ended: throw .afterEnd(bytes: bytes.count)
        case .header(let filled): return try readHeader(bytes, filled, sink)
        case .content(let header, let done):
            return header.kind == .pages
                ? try readPages(header, done, bytes, sink) : try readBlob(header, done, bytes, sink)
        case .collecting(let header, let filled): return try collect(header, filled, bytes, sink)
        case .skipping(let header, let left):
            let taken = min(left, bytes.count)
            next(taken == left ? nil : .skipping(header, left: left - taken))
            return taken
        }
    }

    /// Goes to `state`, or on to the next frame.
    private mutating func next(_ newState: State?) {
        if newState == nil { framesReceived += 1 }
        state = newState ?? .header(filled: 0)
    }

    private mutating func readHeader(
        _ bytes: UnsafeRawBufferPointer, _ filled: Int, _ sink: any FrameSink
    ) throws(FrameError) -> Int {
        let taken = min(FrameHeader.byteCount - filled, bytes.count)
        small.place(bytes.taking(taken), at: filled)
        guard filled + taken == FrameHeader.byteCount else {
            state = .header(filled: filled + taken)
            return taken
        }
        try begin(try FrameHeader(decoding: UnsafeRawBufferPointer(small)), sink)
        return taken
    }

    private mutating func begin(_ header: FrameHeader, _ sink: any FrameSink) throws(FrameError) {
        let length = Int(header.payloadLength)
        switch header.kind {
        case .pages, .blob, .live, .held, .packet:
            if header.codec != .none || (header.kind != .pages && header.kind != .blob && length > 0) {
                state = .collecting(header, filled: 0)
            } else if length > 0 {
                state = .content(header, done: 0)
            } else {
                try deliver(header, UnsafeRawBufferPointer(start: nil, count: 0), sink)
                next(nil)
            }
        case .warm:
            next(length == 0 ? nil : .skipping(header, left: length))
        case .zero:
            let run = PageRun(start: header.address, count: Int(header.count))
            try calling { () throws(SinkFailure) in try sink.zero(space: SpaceID(header.space), run: run) }
            next(nil)
        case .stale:
            let run = PageRun(start: header.address, count: Int(header.count))
            try calling { () throws(SinkFailure) in try sink.stale(space: SpaceID(header.space), run: run) }
            next(nil)
        case .mark:
            try calling { () throws(SinkFailure) in try sink.mark(token: header.address) }
            next(nil)
        case .end:
            framesReceived += 1
            state = .ended
            try calling { () throws(SinkFailure) in try sink.end() }
        }
    }

    /// Hands whole pages over, as many as the piece holds.
    private mutating func readPages(
        _ header: FrameHeader, _ done: Int, _ bytes: UnsafeRawBufferPointer, _ sink: any FrameSink
    ) throws(FrameError) -> Int {
        let left = header.unpackedLength - done
        let shared = done % pageSize
        let page = UnsafeMutableRawBufferPointer(rebasing: small[FrameHeader.byteCount...])
        var taken = min(left, bytes.count)
        if shared > 0 || taken < pageSize {
            taken = min(taken, pageSize - shared)
            page.place(bytes.taking(taken), at: shared)
            if shared + taken == pageSize {
                try deliver(header, UnsafeRawBufferPointer(page), at: done - shared, sink)
            }
        } else {
            taken -= taken % pageSize
            try deliver(header, bytes.taking(taken), at: done, sink)
        }
        next(taken == left ? nil : .content(header, done: done + taken))
        return taken
    }

    private mutating func readBlob(
        _ header: FrameHeader, _ done: Int, _ bytes: UnsafeRawBufferPointer, _ sink: any FrameSink
    ) throws(FrameError) -> Int {
        let left = header.unpackedLength - done
        let taken = min(left, bytes.count)
        try deliver(header, bytes.taking(taken), at: done, sink)
        next(taken == left ? nil : .content(header, done: done + taken))
        return taken
    }

    /// Collects a payload that is needed whole; takes it from the piece itself when it is there whole.
    private mutating func collect(
        _ header: FrameHeader, _ filled: Int, _ bytes: UnsafeRawBufferPointer, _ sink: any FrameSink
    ) throws(FrameError) -> Int {
        let length = Int(header.payloadLength)
        let taken = min(length - filled, bytes.count)
        if taken == length {
            try unpackAndDeliver(header, bytes.taking(taken), sink)
            next(nil)
            return taken
        }
        let buffer = Self.scratch(&packed)
        buffer.place(bytes.taking(taken), at: filled)
        if filled + taken == length {
            try unpackAndDeliver(header, UnsafeRawBufferPointer(buffer).taking(length), sink)
            next(nil)
        } else {
            state = .collecting(header, filled: filled + taken)
        }
        return taken
    }

    private mutating func unpackAndDeliver(
        _ header: FrameHeader, _ payload: UnsafeRawBufferPointer, _ sink: any FrameSink
    ) throws(FrameError) {
        guard header.codec != .none else { return try deliver(header, payload, sink) }
        if unpacker == nil { unpacker = Unpacker() }
        let due = header.unpackedLength
        let target = UnsafeMutableRawBufferPointer(rebasing: Self.scratch(&unpacked)[..<due])
        let length = unpacker?.unpack(payload, with: header.codec, into: target)
        guard length == due else { throw .decompression(codec: header.codec, came: length, due: due) }
        try deliver(header, UnsafeRawBufferPointer(target), sink)
    }

    private func deliver(
        _ header: FrameHeader, _ bytes: UnsafeRawBufferPointer, at offset: Int = 0, _ sink: any FrameSink
    ) throws(FrameError) {
        let address = header.address + UInt64(offset)
        switch header.kind {
        case .pages:
            try calling { () throws(SinkFailure) in
                try sink.pages(space: SpaceID(header.space), address: address, bytes: bytes)
            }
        case .blob:
            try calling { () throws(SinkFailure) in try sink.blob(id: header.space, offset: address, bytes: bytes) }
        case .live:
            let runs = try liveRuns(bytes)
            try calling { () throws(SinkFailure) in try sink.live(space: SpaceID(header.space), runs: runs) }
        case .held:
            try calling { () throws(SinkFailure) in
                try sink.held(space: SpaceID(header.space), address: address, marks: bytes)
            }
        case .packet:
            try calling { () throws(SinkFailure) in try sink.packet(interface: Int(header.address), bytes: bytes) }
        case .zero, .stale, .mark, .end, .warm: break
        }
    }

    private func calling(_ body: () throws(SinkFailure) -> Void) throws(FrameError) {
        do { try body() } catch { throw .sink(error.text) }
    }

    private static func scratch(_ buffer: inout UnsafeMutableRawBufferPointer?) -> UnsafeMutableRawBufferPointer {
        if let buffer { return buffer }
        let new = UnsafeMutableRawBufferPointer.allocate(byteCount: FrameLimit.scratchBytes, alignment: pageSize)
        buffer = new
        return new
    }
}
