import FoundationEssentials
import Glibc

/// `downtime floor ADDRESS PORT`: what the kernel and CRIU need at least for the steps of a migration, each alone, in this host; ADDRESS is where
/// `downtime echo PORT` listens. Prints a JSON object of lists of times in ms.
enum Floor {
    static func run(_ words: [String]) throws {
        guard words.count == 2, let port = UInt16(words[1]) else { throw Failure("usage: downtime floor ADDRESS PORT") }
        var times: [String: [Double]] = [:]
        func add(_ all: [String: [Double]]) { times.merge(all) { $1 } }
        for part in [Freezing.measure, Processes.measure, Journal.measure, Bridging.measure, Scanning.measure] {
            // What this host can't do is missing, and the rest is there.
            do { add(try part()) } catch { say("floor: \(error)", to: 2) }
        }
        add(try Echo.measure(words[0], port))
        // Last: there is no way back from the new namespaces.
        add(try Namespaces.measure())
        say(String(decoding: try JSONEncoder().encode(times), as: UTF8.self))
    }

    /// Times of a body, ms; the first is left out, it warms up.
    static func times(_ count: Int, _ body: () throws -> Void) rethrows -> [Double] {
        try (0...count).map { _ in
            let start = now()
            try body()
            return milliseconds(now() - start)
        }.suffix(count)
    }

    @discardableResult
    static func checked(_ result: Int32, _ what: String) throws -> Int32 {
        guard result >= 0 else { throw Failure("\(what): \(String(cString: strerror(errno)))") }
        return result
    }

    static func write(_ text: String, to path: String) throws {
        let file = try checked(open(path, O_WRONLY | O_CLOEXEC), path)
        defer { close(file) }
        guard Glibc.write(file, text, text.utf8.count) == text.utf8.count else {
            throw Failure("\(path): \(String(cString: strerror(errno)))")
        }
    }
}

/// A freeze of a cgroup with one process, until the kernel says that it is frozen; and the thaw.
private enum Freezing {
    static func measure() throws -> [String: [Double]] {
        let group = "/sys/fs/cgroup/bench-floor"
        mkdir(group, 0o755)
        let sleeper = try Process(["sleep", "1000"])
        defer {
            kill(sleeper.pid, SIGKILL)
            _ = sleeper.wait()
            for _ in 0..<100 where rmdir(group) != 0 { sleep(until: now() + 10 * millisecond) }
        }
        try Floor.write("\(sleeper.pid)", to: "\(group)/cgroup.procs")
        var freezes: [Double] = [], thaws: [Double] = []
        for _ in 0..<30 {
            let start = now()
            try Floor.write("1", to: "\(group)/cgroup.freeze")
            try wait(group, for: "frozen 1")
            let frozen = now()
            try Floor.write("0", to: "\(group)/cgroup.freeze")
            freezes.append(milliseconds(frozen - start))
            thaws.append(milliseconds(now() - frozen))
            try wait(group, for: "frozen 0")
            sleep(until: now() + 5 * millisecond)
        }
        return ["cgroup: freeze": freezes, "cgroup: thaw": thaws]
    }

    private static func wait(_ group: String, for words: String) throws {
        let file = try Floor.checked(open("\(group)/cgroup.events", O_RDONLY | O_CLOEXEC), "cgroup.events")
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 256)
        while true {
            let count = pread(file, &buffer, buffer.count, 0)
            if String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self).contains(words) { return }
            var event = pollfd(fd: file, events: Int16(POLLPRI), revents: 0)
            guard poll(&event, 1, 1000) > 0 else { throw Failure("no freeze within a second") }
        }
    }
}

/// Processes that do nothing, and the smallest things that CRIU can do.
private enum Processes {
    static func measure() throws -> [String: [Double]] {
        let folder = "/run/bench-floor"
        defer { _ = try? Process(["rm", "-rf", folder]).wait() }
        var all = ["fork, exec and end of /bin/true": try Floor.times(30) { try succeed(["/bin/true"]) }]
        all["criu: start and end (--version)"] = try Floor.times(10) {
            try succeed(["sh", "-c", "exec criu --version >/dev/null"])
        }
        var dumps: [Double] = [], restores: [Double] = []
        for _ in 0..<6 {
            // Without what the lab's own shells left open: CRIU asks where it lies.
            try succeed([
                "bash", "-c",
                "rm -rf \(folder); mkdir \(folder); setsid sleep 1000 </dev/null &>/dev/null 10>&- & echo $! >\(folder)/pid",
            ])
            let pid =
                String(decoding: try readFile("\(folder)/pid"), as: UTF8.self).split(separator: "\n").first.map(String.init) ?? ""
            sleep(until: now() + 50 * millisecond)
            dumps += try time(["criu", "dump", "-t", pid, "-D", folder, "-v0"])
            restores += try time(["criu", "restore", "-d", "-D", folder, "-v0"])
            if let pid = Int32(pid) { kill(pid, SIGKILL) }
        }
        all["criu dump of one sleeping process"] = Array(dumps.dropFirst())
        all["criu restore of one sleeping process"] = Array(restores.dropFirst())
        return all
    }

    private static func succeed(_ words: [String]) throws {
        let status = try Process(words).wait()
        guard status == 0 else { throw Failure("\(words.joined(separator: " ")) ended with \(status)") }
    }

    private static func time(_ words: [String]) throws -> [Double] {
        let start = now()
        try succeed(words)
        return [milliseconds(now() - start)]
    }
}

/// A record appended and synced, where Martlet's journals lie.
private enum Journal {
    static func measure() throws -> [String: [Double]] {
        let path = "/var/lib/martlet/bench-floor"
        let file = try Floor.checked(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600), path)
        defer {
            close(file)
            unlink(path)
        }
        let record = [UInt8](repeating: 64, count: 128)
        return [
            "journal: append 128 bytes and fsync": try Floor.times(50) {
                guard Glibc.write(file, record, record.count) == record.count, fsync(file) == 0 else {
                    throw Failure("fsync failed")
                }
            }
        ]
    }
}
