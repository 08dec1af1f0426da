import CLinux
import Glibc

/// Keeps the host's idle processors polling for work in place of sleeping, for as long as the value lives.
///
/// A dump and a restore wait some hundred times for another process. A processor that halted needs 30 to 100 µs to take part again (under a
/// hypervisor each halt is an exit to it), one that polls needs two. The kernel's interface for this is a request of no latency
/// (Documentation/power/pm_qos_interface.rst): it holds while the file is open, and ends with the process, whatever happens to it.
///
/// A wish: without the file, or the right to it, all stays as it is.
public struct WakefulProcessors: ~Copyable, Sendable {
    private let request: OwnedDescriptor

    /// 10 to 50 µs: idle processors are woken once to hear of it.
    public init?() {
        guard let file = try? OwnedDescriptor(opening: "/dev/cpu_dma_latency", flags: O_WRONLY) else { return nil }
        var microseconds: Int32 = 0
        guard write(file.raw, &microseconds, MemoryLayout<Int32>.size) == MemoryLayout<Int32>.size else { return nil }
        request = file
    }
}
