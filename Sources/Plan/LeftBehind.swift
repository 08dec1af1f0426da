public import Model

/// Which pages stayed in the frozen processes of the source (hybrid), so that a process that knows nothing else can serve them:
/// noted before the decision, read by whoever recovers.
///
/// ```
/// "MTLBEHND" version:u32 spaces:u32 then for each space:
///   space:u32 pid:i32 startTime:u64 runs:u32 zero:u32 then for each run: start:u64 pages:u64      (little-endian)
/// ```
/// Binary, because it is written while the container is frozen and may have a million runs: 16 bytes each.
public struct LeftBehind: Hashable, Sendable {
    public struct Space: Hashable, Sendable {
        public var space: SpaceID
        /// One of the processes that have this memory, and its start time, by which it is that one for good.
        public var pid: Int32
        public var startTime: UInt64
        public var runs: [PageRun]

        public init(space: SpaceID, pid: Int32, startTime: UInt64, runs: [PageRun]) {
            self.space = space
            self.pid = pid
            self.startTime = startTime
            self.runs = runs
        }
    }

    public var spaces: [Space]

    public init(spaces: [Space]) { self.spaces = spaces }

    private static let magic = Array("MTLBEHND".utf8)
    private static let version: UInt32 = 1
    private static let headBytes = 16, spaceBytes = 24, runBytes = 16

    public var encoded: [UInt8] {
        let runs = spaces.reduce(0) { $0 + $1.runs.count }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.headBytes + spaces.count * Self.spaceBytes + runs * Self.runBytes)
        bytes += Self.magic
        Self.append(Self.version, &bytes)
        Self.append(UInt32(spaces.count), &bytes)
        for space in spaces {
            Self.append(space.space.rawValue, &bytes)
            Self.append(UInt32(bitPattern: space.pid), &bytes)
            Self.append(space.startTime, &bytes)
            Self.append(UInt32(space.runs.count), &bytes)
            Self.append(UInt32(0), &bytes)
            for run in space.runs {
                Self.append(run.start, &bytes)
                Self.append(UInt64(run.count), &bytes)
            }
        }
        return bytes
    }

    /// - Returns: nil unless the bytes are exactly one whole table of this version.
    public init?(decoding bytes: [UInt8]) {
        var reader = Reader(bytes: bytes)
        guard reader.take(Self.magic.count) == Self.magic[...], reader.number(UInt32.self) == Self.version,
            let count = reader.number(UInt32.self)
        else { return nil }
        var spaces: [Space] = []
        for _ in 0..<count {
            guard let space = reader.space() else { return nil }
            spaces.append(space)
        }
        guard reader.at == bytes.count else { return nil }
        self.init(spaces: spaces)
    }

    private static func append<Number: FixedWidthInteger>(_ number: Number, _ bytes: inout [UInt8]) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    private struct Reader {
        let bytes: [UInt8]
        var at = 0

        mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
            guard bytes.count - at >= count else { return nil }
            defer { at += count }
            return bytes[at..<(at + count)]
        }

        mutating func number<Number: FixedWidthInteger>(_ type: Number.Type) -> Number? {
            let size = MemoryLayout<Number>.size
            guard let part = take(size) else { return nil }
            return part.withUnsafeBytes { Number(littleEndian: $0.loadUnaligned(as: Number.self)) }
        }

        mutating func space() -> Space? {
            guard let id = number(UInt32.self), let pid = number(UInt32.self), let startTime = number(UInt64.self),
                let count = number(UInt32.self), number(UInt32.self) == 0,
                Int(count) <= (bytes.count - at) / LeftBehind.runBytes
            else { return nil }
            var runs: [PageRun] = []
            runs.reserveCapacity(Int(count))
            for _ in 0..<count {
                guard let start = number(UInt64.self), let pages = number(UInt64.self), let pages = Int(exactly: pages) else {
                    return nil
                }
                runs.append(PageRun(start: start, count: pages))
            }
            return Space(space: SpaceID(id), pid: Int32(bitPattern: pid), startTime: startTime, runs: runs)
        }
    }
}
