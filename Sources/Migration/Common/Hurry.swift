import Glibc
import Host
import Plan

/// Lets this process, and those that carry its bytes, go before everything else on the host while the container stands still, and only then.
///
/// For one loop's thread. Threads that are started meanwhile inherit the rank and lose it with the others.
final class Hurry {
    private var isOn = false
    /// Who carries our bytes: ssh and its like. Without them the chain would wait for its slowest link.
    private let carriers: () -> [Int32]
    private var raised: [Int32] = []
    private var processors: WakefulProcessors?

    /// - Parameter carriers: processes that hurry along, asked at the freeze.
    init(carriers: @escaping () -> [Int32]) { self.carriers = carriers }

    func follow(_ phase: Phase) {
        if phase.isUrgent && !isOn {
            raised = [getpid()] + carriers()
            for pid in raised { Urgency.raise(pid, to: .worker) }
            processors = WakefulProcessors()
            isOn = true
        } else if !phase.isUrgent {
            end()
        }
    }

    func end() {
        for pid in raised { Urgency.lower(pid, from: .worker) }
        (raised, isOn) = ([], false)
        processors = nil
    }
}
