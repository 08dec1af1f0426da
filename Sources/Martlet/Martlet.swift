import ArgumentParser
import Host

/// The program. Commands stand in `Commands/`, what people read in `Output/`; the work is done by `Migration`.
@main
struct Martlet: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "Moves running containers between Linux hosts.",
        version: "martlet 0.1.0",
        subcommands: [
            MigrateCommand.self, CheckCommand.self, PlanCommand.self, AgentCommand.self, ListCommand.self, StatusCommand.self,
            RecoverCommand.self, CertsCommand.self, SessionCommand.self, GuardianCommand.self, KeeperCommand.self,
            SSHCommand.self,
        ])

    /// The exit codes are a contract: 2 is bad usage, where ArgumentParser's own choice would be 64.
    static func main() {
        do {
            var command = try parseAsRoot()
            // Not even in its last instant may the program leave a process with registers that aren't its own.
            defer { Injection.end() }
            try command.run()
        } catch let code as ExitCode {
            exit(withError: code)
        } catch {
            let status = exitCode(for: error)
            let text = fullMessage(for: error)
            if status.isSuccess {
                print(text)
                exit(withError: ExitCode.success)
            }
            Terminal.error(text)
            exit(withError: ExitCode(status == .validationFailure ? 2 : 1))
        }
    }
}
