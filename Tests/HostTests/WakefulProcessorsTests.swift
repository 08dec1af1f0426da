import Glibc
import Host
import Testing

@Suite(.tags(.root)) struct WakefulProcessorsTests {
    /// The device tells the shortest latency that anybody asks for. Others may ask too: nothing is said of afterwards.
    @Test(.enabled(if: access("/dev/cpu_dma_latency", R_OK | W_OK) == 0))
    func `no latency is allowed while it lives`() throws {
        let awake = WakefulProcessors()
        let isHeld = awake != nil
        #expect(isHeld)
        let bytes = try FileIO.read("/dev/cpu_dma_latency")
        #expect(bytes == [0, 0, 0, 0])
        _ = consume awake
    }
}
