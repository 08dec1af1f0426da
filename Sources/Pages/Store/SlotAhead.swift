import Host
import Synchronization

/// Slots of the data file that a helper thread allocated ahead of the receivers.
///
/// Allocating is two thirds of landing a page for the first time (.30 of .45 s/GB), so a second thread doing it makes
/// the receiver's share smaller. Only the inner chunks of large areas get such slots (`PageStore.slot(for:)` decides): a
/// process with many small areas would otherwise hold 2 MB for each.
final class SlotAhead: Sendable {
    /// Ready slots held: 16 MB at most lie idle; fewer and the receivers outrun the helper at 2 GB/s.
    private static let depth = 8

    private struct State {
        var ready: [Int] = []
        var wanted = false
        var stopped = false
    }
    private let state = Monitor(State())
    private let thread = Mutex<Host.Thread?>(nil)

    init() {}

    /// A slot allocated before, or nil if the helper isn't that far; asks for more.
    func take(refill: @escaping @Sendable () -> Int?) -> Int? {
        let (slot, start) = state.withLock { state in
            let first = !state.wanted
            state.wanted = true
            return (state.ready.popLast(), first && !state.stopped)
        }
        if start {
            // Without the thread the receivers allocate by writing: slower, not wrong.
            thread.withLock { $0 = try? Host.Thread(named: "store-ahead") { [state] in Self.work(state, refill) } }
        }
        return slot
    }

    private static func work(_ state: Monitor<State>, _ refill: @Sendable () -> Int?) {
        while true {
            let go = state.wait { state in state.stopped ? false : state.ready.count < depth ? true : nil }
            guard go == true, let slot = refill() else { return }
            state.withLock { $0.ready.append(slot) }
        }
    }

    /// Ends the helper and gives back what is left.
    func stop() -> [Int] {
        state.withLock { $0.stopped = true }
        thread.withLock { $0.take()?.join() }
        return state.withLock { state in
            defer { state.ready = [] }
            return state.ready
        }
    }
}
