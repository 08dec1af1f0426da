import Glibc

/// The lab's scripts, found beside this package.
struct Lab {
    let folder: String

    init() {
        // Benchmarks/Sources/downtime/Lab/Lab.swift → the repository.
        var parts = #filePath.split(separator: "/").dropLast(5).map(String.init)
        parts.append("lab")
        folder = "/" + parts.joined(separator: "/")
    }

    func script(_ name: String) -> String { "\(folder)/\(name)" }

    /// Runs one of the lab's scripts to its end.
    @discardableResult
    func call(_ name: String, _ arguments: String..., input: [UInt8] = []) throws -> String {
        // Its errors belong to the failure's words, and otherwise are chatter.
        let process = try Process(["sh", "-c", "exec \"$0\" \"$@\" 2>&1", script(name)] + arguments)
        process.send(input)
        let output = try process.readToEnd()
        let status = process.wait()
        guard status == 0 else {
            throw Failure("lab/\(name) \(arguments.joined(separator: " ")) ended with \(status)\n\(output)")
        }
        return output
    }

    /// Puts this very program into a host: it is linked statically and runs anywhere.
    func installClient(in host: String) throws { try install("/proc/self/exe", at: "/usr/local/bin/downtime", in: host) }

    func install(_ program: String, at place: String, in host: String) throws {
        try call(
            "in", host, "sh", "-c", "cat >\(place).new && chmod 755 \(place).new && mv \(place).new \(place)",
            input: try readFile(program))
    }
}

func readFile(_ path: String) throws -> [UInt8] {
    let file = open(path, O_RDONLY)
    guard file >= 0 else { throw Failure("\(path): \(String(cString: strerror(errno)))") }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
        let n = read(file, &chunk, chunk.count)
        guard n > 0 else { return bytes }
        bytes += chunk[..<n]
    }
}

func writeFile(_ path: String, _ text: String) throws {
    let file = open("\(path).new", O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard file >= 0 else { throw Failure("\(path): \(String(cString: strerror(errno)))") }
    let bytes = Array(text.utf8)
    var sent = 0
    while sent < bytes.count {
        let n = bytes[sent...].withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        guard n > 0 else {
            close(file)
            throw Failure("\(path): \(String(cString: strerror(errno)))")
        }
        sent += n
    }
    close(file)
    rename("\(path).new", path)
}
