import Model
import Pages
import Plan
import Synchronization

/// Finds out after a loss of the link which pages are here otherwise than the source believes: several versions of a page may have
/// been on their way, so contents are compared, by their hashes.
final class HeldPages: Sendable {
    private let seed: UInt64
    private let store: PageStore
    private let shared: SharedStore
    private let found = Mutex<[PageRequest]>([])

    /// Runs in one message: 2 MB of JSON.
    private static let perMessage = 40_000

    init(seed: UInt64, store: PageStore, shared: SharedStore) {
        (self.seed, self.store, self.shared) = (seed, store, shared)
    }

    /// - Parameter marks: of neighbouring pages from `address` on.
    func compare(_ space: SpaceID, _ address: UInt64, _ marks: UnsafeRawBufferPointer) {
        let runs = PageMark.differing(from: address, marks) { page in
            space.isShared ? shared.mark(space, page, seed: seed) : store.mark(space, page, seed: seed)
        }
        guard !runs.isEmpty else { return }
        found.withLock { $0 += runs.map { PageRequest(space: space, start: $0.start, count: $0.count) } }
    }

    /// What the source is told, in messages of a bearable size.
    func takeMessages() -> [PeerMessage] {
        let all = found.withLock { found in
            defer { found = [] }
            return found
        }
        return stride(from: 0, to: all.count, by: Self.perMessage).map {
            .differing(Array(all[$0..<min(all.count, $0 + Self.perMessage)]))
        }
    }
}
