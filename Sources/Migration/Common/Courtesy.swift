import Host
import Plan
import Synchronization

/// `--nice`: this process's threads go behind the container's, and whoever else's, while the container runs at the source; never
/// in the freeze. The loop's own thread stays where it is, so that CRIU and the runtime, which it starts, do too.
final class Courtesy: Sendable {
    private let level: Mutex<Int32>
    private let isOn = Mutex(false)

    init(_ level: Int) { self.level = Mutex(Int32(level)) }

    /// Of threads that are started now.
    var priority: Host.Thread.Priority {
        guard isOn.withLock({ $0 }) else { return .normal }
        return level.withLock { .nice($0) }
    }

    /// Known at the destination only once the offer has come.
    func set(_ level: Int) { self.level.withLock { $0 = Int32(level) } }

    /// Called by the loop.
    func follow(_ phase: Phase) {
        let level = level.withLock { $0 }
        guard level > 0 else { return }
        switch phase {
        case .prepare, .copy:
            isOn.withLock { $0 = true }
            Niceness.setOthers(to: level)
        default: end()
        }
    }

    /// Takes the place beside others again. Harmless when nothing was left.
    func end() {
        let wasOn = isOn.withLock { isOn in
            defer { isOn = false }
            return isOn
        }
        if wasOn { Niceness.setOthers(to: 0) }
    }
}
