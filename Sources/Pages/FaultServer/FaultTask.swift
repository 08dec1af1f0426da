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

    /// Puts neighbouring pages of the image where they lie now.
    /// - Parameters:
    ///   - most: pages at `source`.
    ///   - allowed: asked with the view's lock held: whether to go on.
    /// - Returns: how many pages it is about (fewer than `most` where they don't lie side by side), and the kernel's answer; nil if
    ///   the first is gone.
    func put(
        _ image: UInt64, upTo most: Int, from source: UnsafeRawPointer, if allowed: () -> Bool = { true }
    ) -> (count: Int, answer: FaultPort.Answer?) {
        // The view is asked and the page put under one lock: a removal read in between would be undone.
        view.withLock { view in
            guard allowed() else { return (0, .again) }
            guard let place = view.current(of: image, pages: most) else { return (1, nil) }
            var count = 1
            while count < place.pages, !view.gone.contains(image + UInt64(count * pageSize)) { count += 1 }
            func put() -> FaultPort.Answer { port.copy(to: place.address, from: source, length: count * pageSize) }
            // The kernel looks for a changing layout, then for the area, and only then for a changing layout with both held
            // (mfill_atomic): a page moved away in between is answered as absent, and would be lost. The lock keeps the
            // move's event unread, so that it's met when asked again.
            let answer = put()
            return (count, answer == .absent ? put() : answer)
        }
    }

    /// Every page of its image is in it.
    var isFilled: Bool { condition.load(ordering: .acquiring) & 1 != 0 }
    /// The process exited.
    var isDead: Bool { condition.load(ordering: .acquiring) & 2 != 0 }
    var needsPages: Bool { condition.load(ordering: .acquiring) == 0 }
    func setFilled() { condition.bitwiseOr(1, ordering: .acquiringAndReleasing) }
    func setDead() { condition.bitwiseOr(2, ordering: .acquiringAndReleasing) }
}
