import Host
import Synchronization

/// Which programs this run has put into which hosts.
private let installed = Mutex<Set<String>>([])

/// A program in a container that can tell whether it is still what it was.
///
/// A test starts it, keeps a load on it or not, moves it, ends the load and verifies. Verifying throws with words.
public protocol Workload: AnyObject, Sendable {
    /// The container's name.
    var id: String { get }
    /// Starts the container and notes what must stay the same.
    func start(on host: LabHost) throws
    /// Clients that work until `endLoad`.
    func beginLoad() throws
    /// Ends the clients and looks at what they saw.
    func endLoad() throws
    /// Looks at the state after a move to (or a failed move from) `host`, and that the program goes on.
    func verify(on host: LabHost) throws
}

extension Workload {
    var lab: Lab { .shared }

    /// The container's folder of files in a host.
    var root: String { "/data/\(id)/rootfs" }

    /// Removes it from all hosts.
    public func remove() throws { try lab.remove(id) }

    func require(_ holds: Bool, _ words: @autoclosure () -> String) throws {
        if !holds { throw LabError("\(id): \(words())") }
    }

    /// A program of this repository, compiled once and put into a host.
    func compile(_ source: String, for host: LabHost) throws -> String {
        let name = String(source.split(separator: ".")[0])
        let program = "/tmp/martlet-\(lab.name)-\(name)"
        let place = "/usr/local/bin/\(name)"
        // Tests of one lab come one after the other, so nothing races here.
        if installed.withLock({ $0.contains("\(host) \(name)") }) { return place }
        let run = try Spawn.run(
            "cc", ["-O2", "-g", "-Wall", "-Wextra", "-pthread", "-static", "-o", program, lab.support(source)],
            timeout: .seconds(120))
        guard run.status.isSuccess else { throw LabError("cc \(source)", run) }
        try host.install(program, at: place, executable: true)
        installed.withLock { _ = $0.insert("\(host) \(name)") }
        return place
    }

    /// Sends a line to a server and returns its first line of reply.
    func ask(_ address: String, _ port: Int, _ question: String, within limit: Duration = .seconds(30)) throws -> String {
        let answer: String? = try eventually(limit) {
            let run = try lab.client.run([
                "bash", "-c",
                "exec 3<>/dev/tcp/\(address)/\(port) && printf '%s\\n' '\(question)' >&3 && read -r -t 20 line <&3 && printf '%s' \"$line\"",
            ])
            return run.status.isSuccess ? run.outputText : nil
        }
        guard let answer else { throw LabError("\(id) does not answer '\(question)' at \(address):\(port)") }
        return answer
    }
}
