/// What stands on the command line.
struct Options {
    var runs = 3
    var sizes: [Double] = [0.01, 0.1, 0.85, 3, 8]
    var ways: [any Way.Type] = allWays
    var loads = [false, true]
    var writeRate = 20_000
    var martletOptions = ""
    var link: String?
    var name = "local"
    var folder = "results"

    static let usage = """
        usage: Benchmarks/run [OPTION...]
          --runs N            trials of each case, interleaved (3)
          --sizes A,B         GB of data in redis (0.01,0.1,0.85,3,8)
          --ways A,B          of martlet, runc, page-server, lazy-pages (all)
          --loads A,B         of idle, writer (both)
          --write-rate N      the writer's writes of 1000 bytes a second (20000)
          --link RATE         shape both hosts' links, such as 10gbit (unshaped: the machine's own speed)
          --martlet "WORDS"   further options for martlet migrate
          --name NAME         results go to Benchmarks/results/NAME.json and NAME.md (local)
        """

    init(_ words: [String]) throws {
        var rest = words[...]
        while let word = rest.popFirst() {
            guard word != "--help" else { throw Failure(Self.usage) }
            guard let value = rest.popFirst() else { throw Failure("\(word) needs a value\n\(Self.usage)") }
            let list = value.split(separator: ",").map(String.init)
            switch word {
            case "--runs": runs = try number(value)
            case "--sizes": sizes = try list.map { try number($0) }
            case "--ways": ways = try list.map(Self.way)
            case "--loads": loads = try list.map(Self.load)
            case "--write-rate": writeRate = try number(value)
            case "--link": link = value
            case "--martlet": martletOptions = value
            case "--name": name = value
            case "--folder": folder = value
            default: throw Failure("there is no option \(word)\n\(Self.usage)")
            }
        }
    }

    private func number<Number: LosslessStringConvertible>(_ text: String) throws -> Number {
        guard let number = Number(text) else { throw Failure("'\(text)' is no number\n\(Self.usage)") }
        return number
    }

    private static func way(_ name: String) throws -> any Way.Type {
        guard let way = allWays.first(where: { $0.name == name }) else { throw Failure("there is no way '\(name)'\n\(usage)") }
        return way
    }

    private static func load(_ name: String) throws -> Bool {
        switch name {
        case "idle": return false
        case "writer": return true
        default: throw Failure("there is no load '\(name)'\n\(usage)")
        }
    }
}
