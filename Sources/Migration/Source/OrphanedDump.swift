import Glibc
import Host
import Model

/// The CRIU of a `martlet migrate` that died: noted when it starts, ended by whoever recovers.
///
/// It finds its socket closed and ends by itself, and its end lets the tasks go. One that hangs (stopped, or in a call that
/// doesn't return) holds them by ptrace: then no thaw makes them run.
enum OrphanedDump {
    private static func note(_ migration: MigrationID) -> String { "\(Places.volatile(migration))/criu" }
    /// A CRIU that finds its socket closed undoes a dump in some tens of milliseconds; more on a host under load.
    private static let patience = Duration.seconds(2)

    /// Notes a CRIU: its number, and its start time, by which it is that one for good.
    static func note(_ pid: Int32, of migration: MigrationID) throws {
        let stat = try ProcessStat.of(pid: pid)
        try FileIO.writeAtomically(Array("\(pid) \(stat.startTime)".utf8), to: note(migration))
    }

    /// Waits for its end and kills it if that doesn't come. Nothing noted, or gone already: nothing to do.
    static func end(of migration: MigrationID) throws(SystemError) {
        guard let words = try? FileIO.readLine(note(migration)).split(separator: " "), words.count == 2,
            let pid = Int32(words[0]), let startTime = UInt64(words[1])
        else { return }
        let process: Pidfd
        do { process = try Pidfd(pid: pid) } catch { return }  // it's gone
        guard (try? ProcessStat.of(pid: pid))?.startTime == startTime else { return }
        if try process.waitForEnd(until: .now + patience) { return }
        logLine("migration \(migration): criu \(pid) did not end by itself; killing it")
        // Stopped tasks are let go by the kernel when their tracer dies; where each one stood, it goes on.
        try process.send(SIGKILL)
        guard try process.waitForEnd(until: .now + .seconds(10)) else {
            throw SystemError(
                call: "SIGKILL", subject: "criu, pid \(pid)", errno: EBUSY, hint: "it hangs in the kernel; look at its stack")
        }
    }
}
