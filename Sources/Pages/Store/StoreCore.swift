import Glibc
import Host
import Model
import Synchronization

/// Index and data of a store with the lock for adding to them; shared by the store and its helper thread.
final class StoreCore: Sendable {
    let index: StoreIndex
    let data: StoreData
    /// Held while a chunk gets its entry or its slot.
    let adding = Mutex<Void>(())

    init(index: consuming StoreIndex, data: consuming StoreData) {
        self.index = index
        self.data = data
    }

    /// The entry of a chunk, added if there is none.
    func entry(_ key: UInt64) throws(StoreError) -> ChunkEntry {
        if let entry = index.find(key) { return entry }
        return try adding.withLock { _ throws(StoreError) in
            if let entry = index.find(key) { return entry }  // another receiver was first
            do throws(SystemError) { return try index.add(key) } catch { throw storeError(error) }
        }
    }

    /// The slot of a chunk, given to it if it has none.
    func slot(_ entry: ChunkEntry, ready: () -> Int?) throws(StoreError) -> Int {
        if let slot = entry.slot { return slot }
        let offered = ready()
        return try adding.withLock { _ throws(StoreError) in
            if let slot = entry.slot {
                if let offered { index.returnSlot(offered) }
                return slot
            }
            guard let slot = offered ?? index.takeSlot() else {
                let why = SystemError(
                    call: "take a slot", subject: "page store", errno: ENOSPC,
                    hint: "all \(index.maxSlots) chunks of 2 MB are in use")
                throw storeError(why)
            }
            entry.setSlot(slot)
            return slot
        }
    }

    /// For the helper thread: a slot, allocated; nil if there is none or the host has no memory left.
    func allocatedSlot() -> Int? {
        guard let slot = adding.withLock({ _ in index.takeSlot() }) else { return nil }
        if (try? data.allocate(slot)) != nil { return slot }
        giveBack(slot)
        return nil
    }

    func giveBack(_ slot: Int) {
        try? data.punch(slot)  // a file system without holes keeps the memory until the store goes
        adding.withLock { _ in index.returnSlot(slot) }
    }

    /// A full file or host is `full`, everything else `system`.
    func storeError(_ error: SystemError) -> StoreError {
        guard [ENOSPC, ENOMEM, EDQUOT, EFBIG].contains(error.errno) else { return .system(error) }
        return .full(stored: stored, limit: limit, kernel: error)
    }

    var stored: ByteCount { ByteCount(Int(truncatingIfNeeded: index.header(.storedPages).load()) * pageSize) }
    var limit: ByteCount { ByteCount(Int(truncatingIfNeeded: index.header(.limit).load())) }
}
