import ArgumentParser
import Glibc
import Migration

struct AgentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agent", abstract: "The destination's server.",
        discussion: "Takes migrations from hosts whose certificate the private authority in /etc/martlet has signed.")

    @Option(help: "Address and port to listen on.")
    var listen = "0.0.0.0:7077"

    @Option(
        help: ArgumentHelp(
            "Folder on a disk for the pages of containers that don't fit in memory; none: refuse those.", valueName: "folder"))
    var spill = Places.spill

    func run() throws {
        guard let colon = listen.lastIndex(of: ":"), let port = UInt16(listen[listen.index(after: colon)...]) else {
            throw ValidationError("--listen \(listen): ADDRESS:PORT is due")
        }
        let address = listen[..<colon].drop { $0 == "[" }.prefix { $0 != "]" }
        signal(SIGPIPE, SIG_IGN)
        do {
            let room = StoreRoom(spillFolder: spill == "none" ? nil : spill)
            try room.prepare()
            try Agent(address: String(address), port: port, room: room).run()
        } catch {
            Terminal.error("martlet agent: \(error)")
            throw ExitCode(1)
        }
    }
}
