import Glibc
import Host

/// One line to standard error, for agents, sessions and guardians, whose standard error is a log file or the journal of the host.
public func logLine(_ text: String) {
    let line = Array("\(RealtimeInstant.now.nanoseconds / 1_000_000) [\(getpid())] \(text)\n".utf8)
    try? writeBytes(line, to: 2, name: "standard error")
}
