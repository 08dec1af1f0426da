import Glibc
public import Host

/// One host of the lab.
public struct LabHost: Hashable, Sendable, CustomStringConvertible {
    public let name: String
    public let address: String
    let scripts: String
    let lab: String

    public var description: String { name }

    /// Runs a command to its end.
    public func run(_ words: [String], timeout: Duration = .seconds(60)) throws -> CapturedRun {
        try Spawn.run("\(scripts)/in", [name] + words, environment: Self.environment(lab: lab), limit: 16 << 20, timeout: timeout)
    }

    /// Runs lines of shell that must succeed, and returns what they printed, without the last line's end.
    @discardableResult
    public func shell(_ lines: String, timeout: Duration = .seconds(60)) throws -> String {
        let run = try run(["bash", "-euc", lines], timeout: timeout)
        guard run.status.isSuccess, !run.timedOut else { throw LabError("on \(name): \(lines)", run) }
        var text = run.outputText
        while text.last == "\n" { text.removeLast() }
        return text
    }

    /// Starts a command whose output is read line by line.
    public func start(_ words: [String]) throws -> BackgroundProcess {
        try BackgroundProcess("\(scripts)/in", [name] + words, environment: Self.environment(lab: lab))
    }

    /// Puts a file of this machine there.
    public func install(_ file: String, at path: String, executable: Bool = false) throws {
        let source = try OwnedDescriptor(opening: file, flags: O_RDONLY)
        var spawn = Spawn(
            "\(scripts)/in",
            [
                name, "sh", "-c", "mkdir -p \"$(dirname \"$1\")\" && cat >\"$1\" && chmod \"$2\" \"$1\"", "sh", path,
                executable ? "755" : "644",
            ])
        spawn.environment = Self.environment(lab: lab)
        spawn.descriptors = [0: source.raw, 2: 2]
        guard try spawn.start().wait(until: .now + .seconds(60))?.isSuccess == true else {
            throw LabError("could not put \(file) into \(name)")
        }
    }

    /// Writes a line into a file.
    public func write(_ line: String, to path: String) throws {
        try shell("mkdir -p \"$(dirname '\(path)')\" && printf '%s\\n' '\(line)' >'\(path)'")
    }

    static func environment(lab: String) -> [String] {
        var all: [String] = []
        var entry = environ
        while let text = entry.pointee {
            let line = String(cString: text)
            if !line.hasPrefix("MARTLET_LAB=") { all.append(line) }
            entry += 1
        }
        return all + ["MARTLET_LAB=\(lab)"]
    }
}
