import Host
import Model
import Synchronization

/// One restored process (or a child that it forked during the fill) and its userfaultfd.
final class FaultTask: Sendable {
    /// Its number in the journal.
    let number: UInt32
    /// The pid inside the container's namespace, as CRIU told it; for a child its parent's.
    let pid: Int32
    /// The image that it sees, nil if the source sent none: everything is zero then.
    let space: SpaceID?
    let isForked: Bool
    let port: FaultPort

    /// Held by whoever reads this task's events, and by the pusher from asking the view to having put the page: a page
    /// removed in between would come back.
    let view: Mutex<AddressView>
    private let condition = Atomic<UInt8>(0)

    init(
        number: UInt32, pid: Int32, space: SpaceID?, isForked: Bool, port: consuming FaultPort, view: AddressView = AddressView()
    ) {
        self.number = number
        self.pid = pid
        self.space = space
        self.isForked = isForked
        self.port = port
        self.view = Mutex(view)
    }

    /// Every page of its image is in it.
    var isFilled: Bool { condition.load(ordering: .acquiring) & 1 != 0 }
    /// The process exited.
    var isDead: Bool { condition.load(ordering: .acquiring) & 2 != 0 }
    var needsPages: Bool { condition.load(ordering: .acquiring) == 0 }
    func setFilled() { condition.bitwiseOr(1, ordering: .acquiringAndReleasing) }
    func setDead() { condition.bitwiseOr(2, ordering: .acquiringAndReleasing) }
}
