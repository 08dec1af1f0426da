import ArgumentParser
import Glibc
import Migration
import Plan

struct MigrateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate", abstract: "Move one running container to another host.",
        discussion: """
            Runs on the source host as root. Ctrl-C rolls back until the migration is decided.

            Exit codes: 0 migrated, 2 bad usage, 3 refused by the pre-flight, 4 rolled back (the source runs on), \
            5 failed and needs `martlet recover`, 130 interrupted and rolled back.
            """)

    @Argument(help: "The container's name.")
    var container: String

    @Option(name: .customLong("to"), help: ArgumentHelp("HOST[:PORT] of the destination's agent.", valueName: "dest"))
    var destination: String

    @OptionGroup var flags: MigrationFlags

    @Flag(help: "Check and prepare nothing: print what the pre-flight finds.")
    var dryRun = false

    @Flag(help: "Progress and result as JSON, a document a line, on standard output.")
    var json = false

    @Flag(help: "Print nothing but errors; with --json only the result.")
    var quiet = false

    @Option(help: ArgumentHelp("runc's folder of container states.", valueName: "dir"))
    var runtimeRoot = "/run/runc"

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        Interrupts.block()
        var options = try flags.options()
        options.dryRun = dryRun
        let reporter = view()
        let request = MigrationRequest(
            container: container, destination: try address(destination), options: options, runtimeRoot: runtimeRoot)
        let (ending, result) = Migrator.migrate(request, reporter: reporter)
        reporter.close()
        if json {
            Terminal.line(jsonLine(result))
        } else {
            report(ending, result)
        }
        if ending.exitCode != .success { throw ExitCode(ending.exitCode.rawValue) }
    }

    /// `--quiet` leaves of the JSON lines only the last, the result.
    private func view() -> QueuedReporter {
        if quiet { return QueuedReporter(SilentView(), mayWait: true) }
        if json { return QueuedReporter(JSONView(), mayWait: false) }
        let view = TerminalView()
        return QueuedReporter(view, mayWait: true) { view.finish() }
    }

    private func report(_ ending: Ending, _ result: MigrationResult) {
        if ending.outcome == .migrated && !quiet {
            Terminal.line("")
            Terminal.line(Words.timeline(result))
            Terminal.line(Words.summary(result, at: destination))
        } else if ending.outcome == .checked && !quiet {
            Terminal.line("nothing stands in the way of moving \(container) to \(destination)")
        }
        guard let problem = ending.problem else { return }
        let heading =
            switch ending.outcome {
            case .rolledBack: "rolled back, \(container) runs on here"
            case .refused: "refused, nothing was touched"
            default: ending.needsRecover ? "failed; settle it by: martlet recover" : "failed"
            }
        Terminal.error("martlet: \(heading)\n  \(Words.problem(problem))")
    }
}

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Every blocker and warning of a migration; nothing is frozen or touched.")

    @Argument(help: "The container's name.")
    var container: String

    @Option(name: .customLong("to"), help: ArgumentHelp("HOST[:PORT] of the destination's agent.", valueName: "dest"))
    var destination: String

    @OptionGroup var flags: MigrationFlags

    @Flag(help: "Findings as JSON, one a line.")
    var json = false

    @Option(help: ArgumentHelp("runc's folder of container states.", valueName: "dir"))
    var runtimeRoot = "/run/runc"

    func run() throws {
        var command = try MigrateCommand.parse([container, "--to", destination])
        command.flags = flags
        command.dryRun = true
        command.json = json
        command.runtimeRoot = runtimeRoot
        try command.run()
    }
}

/// `HOST[:PORT]`, `[IPV6]:PORT`.
func address(_ text: String) throws -> PeerAddress {
    if text.hasPrefix("ssh://") {
        throw ValidationError(
            "--to \(text): moving over SSH is not built yet (hint: run `martlet agent` there and name the host)")
    }
    guard let address = PeerAddress(text) else {
        throw ValidationError("--to \(text): HOST or HOST:PORT is due")
    }
    return address
}
