import Glibc
import Host
import Synchronization
import Testing

/// A small program that things are done to.
struct Victim {
    let process: ChildProcess
    var pid: Int32 { process.pid }

    /// Starts a program of Tests/Support, compiled on first use, and waits for its "ready".
    static func start(_ name: String, _ arguments: [String]) throws -> Victim { try launch(try Programs.path(name), arguments) }

    /// Starts TrackerProbe, which the build puts beside the tests.
    static func startProbe(_ arguments: [String]) throws -> Victim {
        let here = try ProcFS.executable(of: getpid())
        return try launch(here[..<here.lastIndex(of: "/")!] + "/TrackerProbe", arguments)
    }

    /// Starts any program that says "ready".
    static func startProgram(_ path: String, _ arguments: [String]) throws -> Victim { try launch(path, arguments) }

    private static func launch(_ path: String, _ arguments: [String]) throws -> Victim {
        let output = try Pipe()
        var spawn = Spawn(path, arguments)
        spawn.descriptors = [1: output.write.raw, 2: 2]
        let victim = Victim(process: try spawn.start())
        let said = output.closeWriteEnd()
        let events = try Poll.wait(said.raw, for: .input, until: .now + .seconds(10))
        try #require(events.contains(.input), "\(path) \(arguments) didn't start")
        return victim
    }

    func waitForState(_ state: ProcessStat.State) throws {
        let deadline = MonotonicInstant.now + .seconds(10)
        while try ProcessStat.of(pid: pid).state != state {
            try #require(deadline.remaining > .zero)
            sleepThread(.milliseconds(1))
        }
    }

    /// Asks it to end; programs say by their exit code whether they were disturbed.
    func terminate() throws -> Host.ExitStatus? {
        try process.kill(SIGTERM)
        return try process.wait(until: .now + .seconds(10))
    }

    func end() {
        _ = try? process.kill(SIGKILL)
        _ = try? process.wait(until: .now + .seconds(10))
    }
}

/// C programs of Tests/Support.
enum Programs {
    private static let built = Mutex<[String: String]>([:])
    static let support = #filePath.split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 } + "/Support"

    static func path(_ name: String) throws -> String {
        try built.withLock { built in
            if let path = built[name] { return path }
            let path = "/tmp/martlet-host-\(name)-\(getpid())"
            let run = try Spawn.run("cc", ["-O1", "-pthread", "-o", path, "\(support)/\(name).c"])
            guard run.status.isSuccess else { throw SystemError(call: "cc", subject: run.errorText, errno: EINVAL) }
            if built.isEmpty { atexit { system("rm -f /tmp/martlet-host-*-\(getpid())") } }
            built[name] = path
            return path
        }
    }
}
