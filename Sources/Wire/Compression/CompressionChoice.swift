/// What the user asked for with `--compress`.
public enum CompressionMode: String, Sendable, CaseIterable {
    case auto, none, lz4, zstd
}

/// Decides, frame by frame, whether packing pays. A pure value: measurements in, a codec out.
///
/// Memory moves at the smaller of two rates: what the packer takes in, and what the link carries divided by how
/// far the data shrinks. Packing pays when that is more than the link carries of plain data. So nothing is packed
/// until the link has held the sender back; then single frames are packed to learn the rates; and a codec is left
/// or taken only for a clear gain, because every change costs a while of wrong estimates.
public struct CompressionChoice: Equatable, Sendable {
    /// A change must promise this much: below it the estimates' noise (about 10 % in a shared machine) decides.
    static let hysteresis = 1.2
    /// Frames between two looks at a codec that is not in use. At 2 MiB a frame and zstd's .15 GB/s a look costs
    /// 14 ms, on a link that holds the sender back anyway.
    static let probeInterval = 64
    /// Bytes a second above which a codec can't win on any data seen (lz4 reached 2 GB/s on nearly empty pages,
    /// zstd .6): not even looked at.
    static let worthProbing: [Codec: Double] = [.lz4: 2e9, .zstd: 4e8]
    /// Length of a measurement of the link.
    static let window = Duration.milliseconds(50)

    private struct Estimate: Equatable {
        /// Unpacked bytes a second.
        var speed: Double
        /// Packed size over unpacked size.
        var ratio: Double
        var framesOld = 0
    }

    private struct Window: Equatable {
        var bytes = 0
        var blocked = Duration.zero
        var elapsed = Duration.zero
    }

    let mode: CompressionMode
    /// In use, apart from single frames that try another one.
    public private(set) var codec: Codec
    /// Bytes a second that the link carries; nil while it has not held the sender back.
    public private(set) var linkRate: Double?
    private var estimates: [Codec: Estimate] = [:]
    private var current = Window()

    public init(_ mode: CompressionMode) {
        self.mode = mode
        switch mode {
        case .auto, .none: codec = .none
        case .lz4: codec = .lz4
        case .zstd: codec = .zstd
        }
    }

    /// The codec for the next frame.
    public mutating func codecForNextFrame() -> Codec {
        guard mode == .auto, let linkRate else { return codec }
        for candidate in [Codec.lz4, .zstd] where candidate != codec {
            guard let worth = Self.worthProbing[candidate], linkRate < worth else { continue }
            guard let estimate = estimates[candidate] else { return candidate }
            if estimate.framesOld >= Self.probeInterval { return candidate }
            estimates[candidate]?.framesOld += 1
        }
        return codec
    }

    /// A frame was packed.
    /// - Parameters:
    ///   - packedLength: nil when it did not shrink and went out plain.
    ///   - time: what packing took.
    public mutating func packed(with used: Codec, length: Int, packedLength: Int?, time: Duration) {
        guard mode == .auto, used != .none, length > 0 else { return }
        let speed = Double(length) / max(1e-9, time.inSeconds)
        let ratio = Double(packedLength ?? length) / Double(length)
        var estimate = estimates[used] ?? Estimate(speed: speed, ratio: ratio)
        estimate.speed += (speed - estimate.speed) / 4
        estimate.ratio += (ratio - estimate.ratio) / 4
        estimate.framesOld = 0
        estimates[used] = estimate
    }

    /// The link took bytes.
    /// - Parameters:
    ///   - bytes: as many as the link took within `elapsed`.
    ///   - blocked: the part of `elapsed` for which the sender waited for the link.
    public mutating func drained(bytes: Int, blocked: Duration, elapsed: Duration) {
        guard mode == .auto else { return }
        current.bytes += bytes
        current.blocked += blocked
        current.elapsed += elapsed
        guard current.elapsed >= Self.window else { return }
        measure(current)
        current = Window()
        decide()
    }

    private mutating func measure(_ window: Window) {
        let rate = Double(window.bytes) / window.elapsed.inSeconds
        if window.blocked * 5 >= window.elapsed {
            // The link always had something to carry, so this is what it carries.
            linkRate = linkRate.map { $0 + (rate - $0) / 2 } ?? rate
        } else if codec == .none {
            linkRate = nil
        } else if let known = linkRate {
            // The packer is the slower one; the link may have become faster meanwhile: believe so a little more
            // each time, until plain data is tried again and gives a measurement.
            linkRate = max(known * 1.1, rate)
        }
    }

    private mutating func decide() {
        guard let linkRate else {
            codec = .none
            return
        }
        let best = Codec.allCases.max { memoryRate($0, linkRate) < memoryRate($1, linkRate) } ?? .none
        if memoryRate(best, linkRate) > memoryRate(codec, linkRate) * Self.hysteresis { codec = best }
    }

    /// Bytes of memory a second that would move with this codec.
    private func memoryRate(_ codec: Codec, _ linkRate: Double) -> Double {
        guard codec != .none else { return linkRate }
        guard let estimate = estimates[codec] else { return 0 }
        return min(estimate.speed, linkRate / max(estimate.ratio, 0.001))
    }
}
