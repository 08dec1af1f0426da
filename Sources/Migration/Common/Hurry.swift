import Glibc
import Host
import Plan

/// Lets this process go before everything else on the host while the container stands still, and only then.
///
/// For one loop's thread. Threads that are started meanwhile inherit the rank and lose it with the others.
final class Hurry {
    private var isOn = false

    func follow(_ phase: Phase) {
        if phase.isUrgent && !isOn {
            Urgency.raise(getpid(), to: .worker)
            isOn = true
        } else if !phase.isUrgent {
            end()
        }
    }

    func end() {
        if isOn { Urgency.lower(getpid(), from: .worker) }
        isOn = false
    }
}
