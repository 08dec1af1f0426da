import ArgumentParser
import Glibc
import Migration
import Model
import Plan

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Containers on this host that can be moved.")

    @Flag(help: "As JSON, one a line.")
    var json = false

    @Option(help: ArgumentHelp("runc's folder of container states.", valueName: "dir"))
    var runtimeRoot = "/run/runc"

    func run() throws {
        let containers = try Inventory.containers(runtimeRoot: runtimeRoot)
        if json {
            for container in containers { Terminal.line(jsonLine(container)) }
            return
        }
        if containers.isEmpty { Terminal.line("no containers") }
        for container in containers {
            Terminal.line(
                "\(container.id.rightPadded(24)) \(container.engine.rightPadded(8)) \(container.status.rightPadded(10)) \(container.bundle)"
            )
        }
    }
}

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "The journal: running and interrupted migrations.")

    @Flag(help: "Finished ones too.")
    var all = false

    @Flag(help: "As JSON, one a line.")
    var json = false

    func run() throws {
        let migrations = Inventory.migrations().filter { all || !$0.isOver }
        if json {
            for migration in migrations { Terminal.line(jsonLine(migration)) }
            return
        }
        if migrations.isEmpty { Terminal.line(all ? "no migrations" : "no migration is under way or interrupted") }
        for migration in migrations {
            Terminal.line(
                "\(migration.id)  \(migration.container.rightPadded(16)) \(migration.role.rawValue.rightPadded(12))"
                    + "\(migration.standing.rightPadded(10)) peer \(migration.peer)")
            if migration.isOver { continue }
            Terminal.line("    the container here: \(migration.lives)\(migration.isAlive ? "; a process works on it now" : "")")
            if !migration.isAlive || migration.role == .destination { Terminal.line("    " + migration.advice) }
        }
    }
}

struct RecoverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover", abstract: "Settle interrupted migrations.",
        discussion: """
            Asks the other host how far it is and finishes or undoes each interrupted migration accordingly. Where the other \
            host is gone for good and a copy here may or may not be the only one, a person must choose: --run-here runs the copy \
            on this host. If the other host's copy runs after all, there are two.
            """)

    @Argument(help: "A migration or a container (default: all that are interrupted).")
    var name: String?

    @Flag(help: "The other host is gone for good: run the copy that is here.")
    var runHere = false

    @Flag(help: "Don't ask before --run-here.")
    var yes = false

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        if runHere { try ask() }
        let failed = Recovery.settle(name: name, runHere: runHere, reporter: TerminalView())
        if failed { throw ExitCode(5) }
    }

    /// Says what it means; a person at a terminal must agree.
    private func ask() throws {
        guard let name else { throw ValidationError("--run-here needs the migration or the container named") }
        let doubts = Recovery.doubts(name: name)
        for doubt in doubts { Terminal.error(doubt) }
        guard !doubts.isEmpty, !yes, Terminal.inputIsTerminal else { return }
        Terminal.raw("Run the copy that is here? Type the container's name or the migration to do it: ", to: 2)
        guard readLine() == name else {
            Terminal.error("martlet: nothing was done")
            throw ExitCode(1)
        }
    }
}
