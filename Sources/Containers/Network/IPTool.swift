import FoundationEssentials
public import Host

/// Why describing or making a network failed.
public enum NetworkError: Error, Hashable, CustomStringConvertible {
    case system(SystemError)
    /// A program failed: what was run and what it printed.
    case tool(command: String, output: String)
    /// A program's answer wasn't what it should be.
    case unexpected(String)

    public var description: String {
        switch self {
        case .system(let error): "network: \(error)"
        case .tool(let command, let output): "network: `\(command)` failed: \(output)"
        case .unexpected(let what): "network: \(what)"
        }
    }
}

/// iproute2 for all that isn't on the hot path; ip(8) with JSON answers.
struct IPTool: Sendable {
    /// Runs inside this namespace; nil is our own.
    var namespace: String?

    @discardableResult
    func run(_ arguments: [String], _ program: String = "ip") throws(NetworkError) -> String {
        let words = namespace.map { ["nsenter", "--net=\($0)", program] + arguments } ?? [program] + arguments
        let run: CapturedRun
        do { run = try Spawn.run(words[0], Array(words.dropFirst())) } catch { throw .system(error) }
        guard run.status == .exited(0) else {
            throw .tool(command: words.joined(separator: " "), output: run.errorText + run.outputText)
        }
        return run.outputText
    }

    func read<T: Decodable>(_ type: T.Type, _ arguments: [String]) throws(NetworkError) -> T {
        let text = try run(["-j", "-d"] + arguments)
        // Some subcommands print nothing at all for an empty list.
        let bytes = Data((text.isEmpty ? "[]" : text).utf8)
        do { return try JSONDecoder().decode(type, from: bytes) } catch {
            throw .unexpected("`ip \(arguments.joined(separator: " "))` answered with something else: \(error)")
        }
    }
}

/// ip's JSON, as far as it is used.
struct IPLink: Decodable {
    struct Info: Decodable {
        var info_kind: String?
        var info_slave_kind: String?
    }
    struct Address: Decodable {
        var family: String
        var local: String?
        var prefixlen: Int
        var broadcast: String?
        var scope: String?
    }
    var ifindex: Int
    var ifname: String
    var link_index: Int?
    var flags: [String]
    var mtu: Int
    var master: String?
    var link_type: String?
    var address: String?
    var operstate: String?
    var linkinfo: Info?
    var addr_info: [Address]?
}

struct IPRoute: Decodable {
    var dst: String
    var gateway: String?
    var dev: String?
    var `protocol`: String?
    var prefsrc: String?
    var metric: Int?
    var scope: String?
    var flags: [String]?
}

struct IPNeighbour: Decodable {
    var dst: String
    var dev: String
    var lladdr: String?
    var state: [String]?
}

struct IPRule: Decodable {
    var priority: Int
    var table: String?
}
