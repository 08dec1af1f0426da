public import Model

/// The control protocol: what the two roles say to each other on the control connection.
///
/// Pages, files and images go over their own connections. Requests may come twice and late; each is answered with
/// the present standing. One message is one JSON object `{"message":"…","body":{…}}`; `body` is absent where there
/// is none.
public enum PeerMessage: Hashable, Sendable {
    // Source to destination
    /// First message of a fresh migration. Answered by `findings`.
    case offer(Offer)
    /// Make everything ready to receive. Answered by `prepared`.
    case prepare(PrepareOrder)
    /// Start the restore and hold it at its request. Answered by `standingBy`.
    case standBy
    /// The container's network is cut; the address now moves. No answer.
    case cut
    /// Images, pages and files are all on the way; restore up to just short of running. Answered by `ready`.
    case shipped(Shipped)
    /// The decision is on disk: run. Answered by `running`, or `aborted` if the copy died meanwhile.
    case release
    /// Undo everything; sent only by a source that has not decided. Answered by `aborted`.
    case abort(reason: String)
    /// Where do you stand? Answered by `state`.
    case inquire
    /// The source is back after a loss in the copy: end what is left of the earlier connections. Answered by `resumed`.
    case resume(Resumption)
    /// The source has no more to say. No answer.
    case bye

    /// Shared memory whose pages travel ahead; again when there is more of it. For the doers, the machines ignore it.
    case sharedMemory([SharedObject])

    /// Memory that forked processes may share, told once before the freeze. For the doers, the machines ignore it.
    case commonAreas([CommonArea])

    // Destination to source
    case findings(Findings)
    case prepared(Prepared)
    case standingBy
    /// Nothing of the earlier connections will land any more; new ones may come. With the number of the `resume`.
    case resumed(Int)
    /// Pages of which something else came than what the source asked for by its hashes, or nothing; for the doers, the machines
    /// ignore it.
    case differing([PageRequest])
    /// The restored tasks are held, `ready` is on disk. Said again now and then, until the source gives its verdict:
    /// `release`, `abort`, or nothing yet.
    case ready
    /// `released` is on disk and the container runs.
    case running(Running)
    /// No page is missing any more at the destination.
    case filled
    /// The copy is gone and never ran; never will it run under this id. On disk before it is said.
    case aborted(reason: String)
    /// Answer to `inquire`.
    case state(DestinationStanding)

    /// Pages that a thread of the restored container waits for (hybrid); for the doers, the machines ignore it.
    case wanted(PageRequest)

    // Either way
    /// Answered at once by the doers, so that the two monotonic clocks can be compared; the machines ignore it.
    case clock(ClockProbe)
    /// Data of a round was sent (to the destination) or has landed (back); for the doers, the machines ignore it.
    case roundMark(RoundMark)

    /// What a message of the destination says of its standing, so that an answer to `inquire` and a message of its
    /// own are treated alike. Nil for messages that say nothing of it.
    public var standing: DestinationStanding? {
        switch self {
        case .ready: .ready
        case .running(let running): .running(running)
        case .filled: .filled
        case .aborted(let reason): .aborted(reason: reason)
        case .state(let standing): standing
        default: nil
        }
    }
}

/// How far the destination is; the answer that settles a migration after a loss.
public enum DestinationStanding: Hashable, Sendable {
    /// No journal for this id.
    case unknown
    /// On the way, not yet ready.
    case preparing
    /// Restored, held, `ready` on disk: waits for the verdict.
    case ready
    /// Will never run; said only when it's durable.
    case aborted(reason: String)
    /// Runs; may still miss pages. Nil after a restart, when the time is not known.
    case running(Running?)
    /// Runs and misses no page.
    case filled
    /// Was released and perhaps ran, but its tasks are gone without a witness (host went down).
    case lost
}

public struct Offer: Hashable, Sendable, Codable {
    /// Version of the control protocol; the destination refuses one that it does not know.
    public static let currentVersion = 4

    public var version: Int
    public var migration: MigrationID
    public var container: ContainerDescription
    public var source: Capabilities
    public var options: MigrationOptions
    /// The source's own findings, so that one report shows both hosts.
    public var findings: [Finding]
    /// What only the doers read: host and container as the source sees them, a JSON document of theirs.
    public var facts: String

    public init(
        version: Int = Offer.currentVersion, migration: MigrationID, container: ContainerDescription,
        source: Capabilities, options: MigrationOptions, findings: [Finding], facts: String = ""
    ) {
        self.version = version
        self.migration = migration
        self.container = container
        self.source = source
        self.options = options
        self.findings = findings
        self.facts = facts
    }
}

public struct Findings: Hashable, Sendable, Codable {
    public var destination: Capabilities
    /// The destination's own findings.
    public var findings: [Finding]
    public init(destination: Capabilities, findings: [Finding]) {
        self.destination = destination
        self.findings = findings
    }
}

public struct PrepareOrder: Hashable, Sendable, Codable {
    /// What both hosts can do and the person allows.
    public var compression: MigrationOptions.Compression
    public var tcpEstablished: Bool
    public var streams: Int
    public var ways: Ways
    public init(compression: MigrationOptions.Compression, tcpEstablished: Bool, streams: Int, ways: Ways) {
        self.compression = compression
        self.tcpEstablished = tcpEstablished
        self.streams = streams
        self.ways = ways
    }
}

public struct Prepared: Hashable, Sendable, Codable {
    /// Where the files go on the destination.
    public var rootfs: String
    /// Network addresses that move along were accepted.
    public var takesAddresses: Bool
    public init(rootfs: String, takesAddresses: Bool) {
        self.rootfs = rootfs
        self.takesAddresses = takesAddresses
    }
}

public struct Shipped: Hashable, Sendable, Codable {
    public struct Space: Hashable, Sendable, Codable {
        public var space: SpaceID
        /// Inside the container's own PID namespace, as in the images.
        public var pid: Int32
        public init(space: SpaceID, pid: Int32) {
            self.space = space
            self.pid = pid
        }
    }
    /// Number of image files and their bytes, so that a cut transfer is noticed.
    public var images: Int
    public var imageBytes: ByteCount
    /// The process that each address space belongs to at the freeze.
    public var spaces: [Space]
    /// Bytes sent on each data stream up to the end of the last pass: the destination waits for all of them.
    public var streamMarks: [UInt64]
    /// Whether live pages stay at the source and are fetched after the release.
    public var pagesStayBehind: Bool
    /// Shared memory that is not in the images.
    public var shared: [SharedObject]
    /// The last pass over the files, if it was sent and not waited for: the destination waits for it.
    public var filesPass: UInt64?

    public init(
        images: Int, imageBytes: ByteCount, spaces: [Space], streamMarks: [UInt64], pagesStayBehind: Bool,
        shared: [SharedObject] = [], filesPass: UInt64? = nil
    ) {
        self.filesPass = filesPass
        self.shared = shared
        self.images = images
        self.imageBytes = imageBytes
        self.spaces = spaces
        self.streamMarks = streamMarks
        self.pagesStayBehind = pagesStayBehind
    }
}

public struct Running: Hashable, Sendable, Codable {
    /// The destination's monotonic clock when the tasks were thawed, ns.
    public var thawedAt: Int64
    /// The container's first process, in the destination's PID namespace.
    public var pid: Int32
    /// What the destination did in the freeze.
    public var steps: [FrozenStep]
    public init(thawedAt: Int64, pid: Int32, steps: [FrozenStep] = []) {
        self.thawedAt = thawedAt
        self.pid = pid
        self.steps = steps
    }
}

public struct Resumption: Hashable, Sendable, Codable {
    /// From 1 on.
    public var number: Int
    /// Of the hashes of pages that the source will compare; nil when none was sent yet.
    public var seed: UInt64?
    public init(number: Int, seed: UInt64? = nil) {
        self.number = number
        self.seed = seed
    }
}

/// Pages of one address space that are missing at the destination.
public struct PageRequest: Hashable, Sendable, Codable {
    public var space: SpaceID
    /// First address, a multiple of the page size.
    public var start: UInt64
    public var count: Int
    public init(space: SpaceID, start: UInt64, count: Int) {
        self.space = space
        self.start = start
        self.count = count
    }
}

public struct ClockProbe: Hashable, Sendable, Codable {
    /// The asker's monotonic clock when it asked, ns.
    public var asked: Int64
    /// The answerer's monotonic clock, ns; nil in the question.
    public var answered: Int64?
    public init(asked: Int64, answered: Int64? = nil) {
        self.asked = asked
        self.answered = answered
    }
}

public struct RoundMark: Hashable, Sendable, Codable {
    public var round: Int
    /// Bytes on each data stream up to the end of the round.
    public var streamMarks: [UInt64]
    /// False from the source, true when it comes back.
    public var landed: Bool
    public init(round: Int, streamMarks: [UInt64], landed: Bool) {
        self.round = round
        self.streamMarks = streamMarks
        self.landed = landed
    }
}
