import Containers
import Host
import Model
import Pages
import Plan
import Synchronization

/// What exists on this host of one attempt to receive a container. Grows from phase to phase; `discard` and `clean` undo
/// whatever of it there is.
struct Attempt {
    var offer: Offer?
    var facts: SourceFacts?
    var order: PrepareOrder?
    var folders: Folders?
    var bundle: OCIBundle?
    var places: [BundleKeeper.Made] = []
    var network: NetworkPreparation?
    var frames: FrameInbox?
    /// What the restore was given.
    var sharedObjects: [SharedObject] = []
    var filePages: FilePages?
    var commonPages: CommonPages?
    var store: PageStore?
    var images: ImageReceiver?
    var server: FaultServer?
    var runner: RestoreRunner?
    var shim: CriuShim?
    var site: Site?
    var streams = 0
    /// After a loss of the link: what the source believes to be here is compared with it.
    var comparison: HeldPages?
    /// Which process an image belongs to, told with `shipped`.
    let spaces = SpaceTable()
    var files: [RsyncRun] = []
    /// CRIU's, of the methods that use it.
    var pageServer: PageServer?
    var receivers: [FileReceiver] = []
    var discarding = false
    /// Whether anybody began to let the restored copy go, or the copy died before.
    var held = Held.yet
    /// Tells when the restored container ends.
    var exit: ExitWatch?
    /// The session is about to end: a keeper's death means nothing any more.
    var ending = false
    var keeperLink: KeeperLink?

    /// Set once: who comes first, the thaw or the death, decides whether the copy ever ran.
    enum Held { case yet, thawing, died }

    /// - Returns: false if the copy died before.
    mutating func beginThaw() -> Bool {
        if held == .yet { held = .thawing }
        return held == .thawing
    }

    /// Folders of this attempt.
    struct Folders: Sendable {
        var volatile: String
        var durable: String
        var images: String
        var shim: String { "\(volatile)/shim" }
        /// CRIU's logs: not on the tmpfs, because a CRIU that loops writes gigabytes of log.
        var work: String { "\(durable)/restore" }
    }
}

/// In-namespace pid to address space; filled when the images come, asked by the fault server.
final class SpaceTable: Sendable {
    private let spaces = Mutex<[Int32: SpaceID]>([:])
    func set(_ all: [Shipped.Space]) { spaces.withLock { table in for entry in all { table[entry.pid] = entry.space } } }
    func space(of pid: Int32) -> SpaceID? { spaces.withLock { $0[pid] } }
}
