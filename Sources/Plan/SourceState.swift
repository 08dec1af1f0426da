/// Where the source stands. `docs/phases.md` draws it.
struct SourceState: Hashable, Sendable {
    enum Link: Hashable, Sendable { case down, dialing, up }

    /// What began to change on this host, so that a rollback undoes just that.
    struct Touched: OptionSet, Hashable, Sendable {
        let rawValue: Int
        static let criu = Touched(rawValue: 1)
        static let frozen = Touched(rawValue: 2)
        static let network = Touched(rawValue: 4)
        static let tracking = Touched(rawValue: 8)
        static let processors = Touched(rawValue: 16)
        static let everything: Touched = [.criu, .frozen, .network, .tracking, .processors]

        /// `UndoStep` is in the order of undoing.
        var undo: [UndoStep] {
            UndoStep.allCases.filter { step in
                switch step {
                case .abandonCriu: contains(.criu)
                case .giveProcessorsBack: contains(.processors)
                case .thaw: contains(.frozen)
                case .restoreNetwork: contains(.network)
                case .stopTracking: contains(.tracking)
                }
            }
        }
    }

    /// What has to stand by before the network is cut.
    struct Companions: Hashable, Sendable {
        var asked = false
        var criuHeld = false
        var standingBy = false
        var filesSynced = false
        var all: Bool { criuHeld && standingBy && filesSynced }
    }

    struct Capture: Hashable, Sendable {
        var pagesSent = false
        var filesSynced = false
        var refrozen = false
        var shipped: Shipped?
    }

    /// The link was lost while the container runs.
    struct Pause: Hashable, Sendable {
        enum Point: Hashable, Sendable {
            /// The files' first pass.
            case preparing
            /// The next round to be done.
            case copying(round: Int)
        }
        /// What of before the loss goes on.
        struct Work: OptionSet, Hashable, Sendable {
            let rawValue: Int
            static let round = Work(rawValue: 1)
            static let files = Work(rawValue: 2)
        }
        var point: Point
        var companions: Companions
        var work: Work
        /// Of the loss; the destination answers with it.
        var number: Int
        /// Nothing of the earlier connections will land there any more.
        var agreed = false
        var problem: Problem
    }

    /// On the way back to a container that runs here.
    struct Retreat: Hashable, Sendable {
        var ending: Ending
        /// The container runs as before.
        var undone = false
        /// The destination said that it has nothing any more.
        var told = false
    }

    enum Stage: Hashable, Sendable {
        /// → connecting; of a recovering machine: rollingBack, releasing, filling, killing, finished
        case idle
        /// Nothing touched. → offering, finished (refused)
        case connecting
        /// Nothing touched. → opening, finished (refused, checked)
        case offering
        /// Writing `opened`. → preparing, rollingBack
        case opening
        /// → copying, arming, pausing, rollingBack
        case preparing(prepared: Bool, filesSynced: Bool)
        /// → copying (next round), gathering, arming, pausing, rollingBack
        case copying(round: Int, Companions)
        /// The rounds would be over, but the companions are not there: they come before one more round, because what the
        /// workload dirties while they start would lengthen the freeze. → copying (next round), pausing, rollingBack
        case gathering(round: Int, Companions)
        /// The link is lost; nothing is frozen. → preparing, copying, rollingBack
        case pausing(Pause)
        /// Writing `frozen`, waiting for the companions. → cutting, rollingBack
        case arming(FinalPass, Companions, journaled: Bool)
        /// → freezing, rollingBack
        case cutting(FinalPass)
        /// → capturing, rollingBack
        case freezing(FinalPass)
        /// → awaitingReady, rollingBack
        case capturing(FinalPass, Capture)
        /// → deciding, rollingBack
        case awaitingReady(FinalPass)

        /// Writing `decided`: from here it may be on disk. → releasing, revoking, revoked
        case deciding(FinalPass, aborted: String?)
        /// Decided, not known to run. → filling, revoked, finished (in doubt)
        case releasing(FinalPass)
        /// `decided` may be on disk, and the destination is asked to abort: the write failed, or in hybrid the frozen copy
        /// died. `release` was not said by this process. → revoked, killing, finished (in doubt)
        case revoking(Problem)
        /// Writing `revoked`. → rollingBack
        case revoked(Problem)

        /// The container runs at the destination. → killing, finished (in doubt)
        case filling(FinalPass)
        /// → cleaning, finished
        case killing
        /// → closing, finished
        case cleaning
        /// Writing `done`. → finished
        case closing(Ending)

        /// → closing, finished
        case rollingBack(Retreat)
        /// No exit.
        case finished
    }

    var stage: Stage = .idle
    /// The container ended, whoever did it: nothing runs here any more that could run on.
    var exited = false
    var link: Link = .down
    /// The shortest one seen.
    var roundTrip: Duration?
    /// How often the link was lost and waited for.
    var losses = 0
    var touched: Touched = []
    var convergence: Convergence?
    /// What both hosts can do; nil until the destination has told.
    var ways: Ways?
    /// The method that goes with it.
    var method: Method?
    /// Of the last round; nil before the first.
    var dirtyPages: Int?
}
