import Glibc
import Host
import Testing

/// Whether the lab host for these tests runs. It is started with `lab/up criu1`.
private let labHostIsUp =
    !isInLab && geteuid() == 0
    && (try? Spawn.run("lab/in", ["criu1", "true"]).status.isSuccess) == true

/// From outside: runs the tests that need CRIU inside a lab host.
@Suite struct LabTests {
    @Test(.tags(.lab, .criu, .root, .slow), .enabled(if: labHostIsUp, "needs the lab host criu1: lab/up criu1"))
    func `containers go through CRIU on a lab host`() throws {
        let program = try FileIO.readLink("/proc/self/exe")
        let run = try Spawn.run(
            "env", ["MARTLET_TEST_PROGRAM=\(program)", "Tests/containers-in-lab", "criu1"], timeout: .seconds(300))
        #expect(run.status.isSuccess, "\(run.outputText.suffix(4000))\(run.errorText.suffix(1000))")
    }
}
