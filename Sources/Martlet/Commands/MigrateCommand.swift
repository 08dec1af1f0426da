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

    @Option(
        name: .customLong("to"),
        help: ArgumentHelp("HOST[:PORT] of the destination's agent, or ssh://[USER@]HOST[:PORT].", valueName: "dest"))
    var destination: String

    @OptionGroup var flags: MigrationFlags

    @OptionGroup var copyBinary: CopyBinary

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
        var request = MigrationRequest(
            container: container, destination: try address(destination), options: options, runtimeRoot: runtimeRoot)
        request.copiesProgram = try copyBinary.wanted(for: request.destination)
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

    @Option(
        name: .customLong("to"),
        help: ArgumentHelp("HOST[:PORT] of the destination's agent, or ssh://[USER@]HOST[:PORT].", valueName: "dest"))
    var destination: String

    @OptionGroup var flags: MigrationFlags

    @OptionGroup var copyBinary: CopyBinary

    @Flag(help: "Findings as JSON, one a line.")
    var json = false

    @Option(help: ArgumentHelp("runc's folder of container states.", valueName: "dir"))
    var runtimeRoot = "/run/runc"

    func run() throws {
        var command = try MigrateCommand.parse([container, "--to", destination])
        command.flags = flags
        command.copyBinary = copyBinary
        command.dryRun = true
        command.json = json
        command.runtimeRoot = runtimeRoot
        try command.run()
    }
}

/// What follows `--to`.
func address(_ text: String) throws -> DestinationAddress {
    do { return try DestinationAddress(text) } catch { throw ValidationError("--to \(error)") }
}

/// For a destination that is reached by ssh and has no martlet.
struct CopyBinary: ParsableArguments {
    @Flag(help: "With ssh://: bring this program to the destination if it isn't there, and use it.")
    var copyBinary = false

    func wanted(for destination: DestinationAddress) throws -> Bool {
        if case .agent = destination, copyBinary {
            throw ValidationError("--copy-binary needs a destination of the form ssh://[USER@]HOST")
        }
        return copyBinary
    }
}
