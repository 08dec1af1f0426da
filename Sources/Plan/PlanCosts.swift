/// What a migration costs beside the link and the workload: measured constants of the development machine (2 cores, AMD EPYC, Linux
/// 6.18, CRIU 4.2.1), from moves of redis in the lab without any other load. docs/methods.md has the table by which they were set.
///
/// What others do on the processors meanwhile lengthens most of it: `slowed`. Steps of the freeze that go before everything else
/// (dump and restore of a skeleton, the last pages) keep their time.
///
/// On other machines they are wrong by the ratio of the machines' speeds; what the link and the workload add is measured each time.
public struct PlanCosts: Hashable, Sendable {
    /// Check, prepare and the first comparison of files, for a small bundle, ms.
    public var prepare = 190.0
    /// CRIU's start at the source and the runtime's at the destination, ms. Beside a round if there is one.
    public var standBy = 65.0
    /// A round's start and end: marks, their way back, the count, ms.
    public var round = 12.0
    /// Cut, freeze and the dump of a skeleton with its shipping, ms; and for each process.
    public var dump = 21.0
    public var dumpPerProcess = 3.0
    /// The final scan, ms/GB.
    public var scanPerGB = 1.0
    /// Checks, the restore of a skeleton, decision and release, ms; and for each process.
    public var restore = 29.0
    public var restorePerProcess = 2.0
    /// The first use of data streams in the freeze, where no round has opened them, ms.
    public var openStreams = 20.0
    /// What CRIU's page server adds to a dump, however little goes through it, ms.
    public var pageServer = 20.0
    /// Reading, encrypting and landing pages, while the container runs, bytes a second; and in the freeze, when nothing else runs.
    public var frozenPageRate = 950e6
    public var pageRate = 1100e6
    /// CRIU's dump through a tunnel to its page server, bytes a second.
    public var pageServerRate = 900e6
    /// A restore from images, bytes a second; and of what is beyond the first 200 MB, where it is bound by memory.
    public var imageRestoreRate = 1700e6
    public var largeImageRestoreRate = 330e6
    /// A burst on one stream that is faster than this tells of processors, not of the wire: several streams then carry more.
    public var processorBoundLink = 400e6
    /// From the store into the running container, bytes a second, and what its start and end take, ms.
    public var fillStart = 10.0
    public var fillRate = 1650e6
    /// Killing the frozen copy and clearing up, ms; and for each GB.
    public var clean = 135.0
    public var cleanPerGB = 100.0

    public init() {}

    /// The same beside other work on the processors. Two that want one processor get half of it; measured with both processors
    /// taken by others: about twice the times of an idle machine. What is bound by memory stays as it is.
    /// - Parameter busy: the share of all processors that others had, 0 to 1.
    public func slowed(by busy: Double) -> PlanCosts {
        let factor = 1 + min(max(busy, 0), 1)
        var costs = self
        costs.prepare *= factor
        costs.standBy *= factor
        costs.round *= factor
        costs.pageServer *= factor
        costs.fillStart *= factor
        costs.cleanPerGB *= factor
        costs.pageRate /= factor
        costs.pageServerRate /= factor
        costs.imageRestoreRate /= factor
        costs.fillRate /= factor
        return costs
    }
}
