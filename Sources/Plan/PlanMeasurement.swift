public import Model

/// What `martlet plan` found out about a container and the way to a host, in two seconds and without moving anything.
public struct PlanMeasurement: Hashable, Sendable, Codable {
    /// How many pages had been written to, each counted once, so long after the watch began.
    public struct Dirtied: Hashable, Sendable, Codable {
        public var milliseconds: Double
        public var pages: Int
        public init(milliseconds: Double, pages: Int) { (self.milliseconds, self.pages) = (milliseconds, pages) }
    }

    /// Private anonymous pages that exist: what rounds and page streams carry.
    public var pages: Int
    /// Of a sample of them, the share that is not of zeros, 0 to 1.
    public var contentShare: Double
    /// Other memory that goes through CRIU's images in every method: shared memory.
    public var otherBytes: ByteCount
    public var processes: Int
    /// Bytes a second that a burst on one data stream reached, TLS included; nil: not measured.
    public var linkRate: Double?
    /// The share of this host's processors that was in use during the watch, the container's own work included, 0 to 1.
    public var busy: Double
    /// In order of time.
    public var dirtied: [Dirtied]

    public init(
        pages: Int, contentShare: Double, otherBytes: ByteCount, processes: Int, linkRate: Double?, busy: Double = 0,
        dirtied: [Dirtied]
    ) {
        self.pages = pages
        self.contentShare = contentShare
        self.otherBytes = otherBytes
        self.processes = processes
        self.linkRate = linkRate
        self.busy = busy
        self.dirtied = dirtied
    }

    /// Pages with content: what travels.
    public var contentPages: Int { Int((Double(pages) * contentShare).rounded()) }

    /// Pages that are dirty so long after they were last looked at: between the samples a straight line, behind them on with the
    /// last slope, never more than there are.
    public func dirty(after milliseconds: Double) -> Int {
        var before = Dirtied(milliseconds: 0, pages: 0)
        var slope = 0.0
        for sample in dirtied where sample.milliseconds > before.milliseconds {
            slope = Double(sample.pages - before.pages) / (sample.milliseconds - before.milliseconds)
            if milliseconds <= sample.milliseconds { break }
            before = sample
        }
        let found = Double(before.pages) + max(slope, 0) * (milliseconds - before.milliseconds)
        return min(max(Int(found.rounded()), 0), pages)
    }

    /// Pages a second that are written to anew, over the whole watch.
    public var dirtyRate: Double {
        guard let last = dirtied.last, last.milliseconds > 0 else { return 0 }
        return Double(last.pages) / last.milliseconds * 1000
    }

    private enum CodingKeys: String, CodingKey {
        case pages
        case contentShare = "content_share"
        case otherBytes = "other_bytes"
        case processes
        case linkRate = "link_bytes_per_second"
        case busy = "busy_share"
        case dirtied
    }
}
