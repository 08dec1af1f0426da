import ArgumentParser
import Glibc
import Migration
import Model

/// The processes that Martlet starts for itself; docs/design.md says who starts whom.
struct SessionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "internal-session", shouldDisplay: false)
    @Argument var migration: String
    @Option var spill: String?

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        try Helper.session(try migrationID(migration), door: 3, room: StoreRoom(spillFolder: spill))
    }
}

struct GuardianCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "internal-guardian", shouldDisplay: false)
    @Argument var migration: String

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        try Helper.guardian(try migrationID(migration), ward: 3)
    }
}

struct KeeperCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "internal-keeper", shouldDisplay: false)
    @Argument var migration: String

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        try Helper.keeper(try migrationID(migration), link: 3, door: 4)
    }
}

struct SSHCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "internal-ssh", shouldDisplay: false)

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        let code = SSHEntrance.serve(room: StoreRoom(spillFolder: Places.spill))
        if code != 0 { throw ExitCode(code) }
    }
}

private func migrationID(_ text: String) throws -> MigrationID {
    guard let id = MigrationID(rawValue: text) else { throw ValidationError("\(text) is no migration") }
    return id
}
