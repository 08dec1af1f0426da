import FoundationEssentials
import Glibc
import Host
import Synchronization

/// One run of `martlet migrate` in a host.
public final class Migration: Sendable {
    /// How it ended, with everything that it said.
    public struct Outcome: Sendable, CustomStringConvertible {
        /// As a shell says it: 137 when it was killed by SIGKILL.
        public var exitCode: Int32
        /// Nil when it ended without a result.
        public var report: MigrationReport?
        public var events: [ProgressEvent]
        public var errors: String

        public var description: String {
            "exit \(exitCode), \(report?.outcome ?? "no result")"
                + (report?.error.map { ": \($0.what): \($0.why) (\($0.hint))" } ?? "") + "\n\(errors.suffix(2000))"
        }
    }

    private static let counter = Atomic<Int>(0)
    private let process: BackgroundProcess
    private let host: LabHost
    private let pidFile: String

    /// Starts it.
    /// - Parameters:
    ///   - fault: a failure point's text for the source.
    ///   - path: folders before the usual PATH, for programs that misbehave.
    public init(
        _ container: String, from host: LabHost, to destination: String, options: [String] = [], fault: String? = nil,
        path: String? = nil
    ) throws {
        let number = Self.counter.add(1, ordering: .relaxed).newValue
        self.host = host
        pidFile = "/run/lab/migrate-\(number).pid"
        var environment: [String] = []
        if let fault { environment.append("MARTLET_FAULT=\(fault)") }
        if let path { environment.append("PATH=\(path):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") }
        // The shell becomes martlet, so that its number in the host is known.
        process = try host.start(
            ["sh", "-c", "echo $$ >\(pidFile); exec \"$@\"", "sh", "env"] + environment
                + ["martlet", "migrate", container, "--engine", "runc", "--to", destination, "--json"] + options)
    }

    /// Waits until it enters a phase.
    /// - Returns: false if it ended first.
    public func reaches(_ phase: String, within limit: Duration = .seconds(60)) -> Bool {
        process.line(within: limit) { line in
            guard let event = Self.decode(ProgressEvent.self, line) else { return false }
            return event.event == "phase" && event.phase == phase
        } != nil
    }

    /// Waits until it tells something in words.
    /// - Returns: false if it ended first.
    public func tells(_ words: String, within limit: Duration = .seconds(60)) -> Bool {
        process.line(within: limit) { Self.decode(ProgressEvent.self, $0)?.text?.contains(words) == true } != nil
    }

    /// Waits until it says something that the condition likes.
    /// - Returns: false if it ended first.
    public func says(within limit: Duration = .seconds(60), _ condition: (ProgressEvent) -> Bool) -> Bool {
        process.line(within: limit) { Self.decode(ProgressEvent.self, $0).map(condition) ?? false } != nil
    }

    /// Waits until a role stands still at a point `….hold`, on either host.
    /// - Returns: false if it did not come there.
    public static func isHeld(on host: LabHost, within limit: Duration = .seconds(60)) throws -> Bool {
        let tries = limit.components.seconds * 50
        return try host.run(
            ["sh", "-c", "for i in $(seq \(tries)); do [ -e \(held) ] && exit 0; sleep 0.02; done; exit 1"],
            timeout: limit + .seconds(60)
        ).status.isSuccess
    }

    /// Lets a held role go on.
    public static func letGo(on host: LabHost) throws { try host.shell("rm -f \(held)") }

    private static let held = "/run/martlet/held"

    /// Sends a signal to martlet itself.
    public func signal(_ signal: String) throws { try host.shell("kill -\(signal) \"$(cat \(pidFile))\"") }

    /// Kills its guardian, so that nobody settles what it leaves.
    public func killGuardian() throws {
        try host.shell("kill -KILL $(pgrep -P \"$(cat \(pidFile))\" -f 'martlet internal-guardian')")
    }

    /// Whether it ends within a time.
    public func ends(within limit: Duration) -> Bool { ((try? process.end(within: limit)) ?? nil) != nil }

    /// Waits for the end. What takes longer than the limit is ended, and an error.
    public func outcome(within limit: Duration = .seconds(180)) throws -> Outcome {
        guard let status = try process.end(within: limit) else {
            let told = process.lines.suffix(5).joined(separator: "\n")
            _ = try? signal("KILL")
            process.stop()
            throw LabError("martlet migrate did not end within \(limit); it said last:\n\(told)\n\(process.errors.suffix(2000))")
        }
        _ = try? host.shell("rm -f \(pidFile)")
        let lines = process.lines
        let code: Int32 =
            switch status {
            case .exited(let code): code
            case .signaled(let signal): 128 + signal
            }
        return Outcome(
            exitCode: code,
            report: lines.last.flatMap {
                Self.decode(ProgressEvent.self, $0)?.event == "result" ? Self.decode(MigrationReport.self, $0) : nil
            },
            events: lines.compactMap { Self.decode(ProgressEvent.self, $0) }, errors: process.errors)
    }

    private static func decode<Value: Decodable>(_ type: Value.Type, _ line: String) -> Value? {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try? decoder.decode(type, from: Data(line.utf8))
    }
}

extension Lab {
    /// Moves a container and waits for the end.
    public func migrate(
        _ container: String, from host: LabHost, to destination: LabHost? = nil, options: [String] = [], fault: String? = nil,
        path: String? = nil, within limit: Duration = .seconds(180)
    ) throws -> Migration.Outcome {
        try Migration(
            container, from: host, to: (destination ?? other(host)).address, options: options, fault: fault, path: path
        ).outcome(within: limit)
    }

    /// `martlet recover` on both hosts; its exit codes are what `World` then says.
    public func recover() throws {
        for host in hosts { _ = try host.run(["martlet", "recover"], timeout: .seconds(120)) }
    }
}
