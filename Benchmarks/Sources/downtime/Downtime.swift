import FoundationEssentials
import Glibc

/// How long a redis is silent when it moves from one host to another, by Martlet and by what exists beside it.
///
/// Several programs in one, so that a host needs a single file: the benchmark itself, `table` (its larger sister), `watch` and `probe` (their
/// clients), `fill`, `floor` (what the kernel needs at least) and `share` (a folder of this machine, mounted in a host).
@main
enum Downtime {
    static func main() {
        signal(SIGPIPE, SIG_IGN)
        let words = Array(CommandLine.arguments.dropFirst())
        do {
            switch words.first {
            case "watch": try Watch.run(Array(words.dropFirst()))
            case "probe": try Probe.run(Array(words.dropFirst()))
            case "floor": try Floor.run(Array(words.dropFirst()))
            case "echo": try Echo.run(Array(words.dropFirst()))
            case "table": try Matrix.run(Array(words.dropFirst()))
            case "share": try Share.run(Array(words.dropFirst()))
            case "fill": try Fill.run(Array(words.dropFirst()))
            default: try benchmark(try Options(words))
            }
        } catch {
            say("downtime: \(error)", to: 2)
            exit(1)
        }
    }

    private static func benchmark(_ options: Options) throws {
        var options = options
        let lab = Lab()
        try lab.installClient(in: "client")
        let machine = try describe(lab, &options)
        var results = Results(name: options.name, machine: machine, records: [])
        // Interleaved: what disturbs the machine for a minute disturbs all ways, not one.
        for run in 1...options.runs {
            for size in options.sizes {
                for load in options.loads {
                    for way in options.ways {
                        let record = Measurement(lab: lab, options: options, way: way, size: size, underWriter: load, run: run)
                            .record()
                        results.records.append(record)
                        progress(record)
                        try keep(results, options)
                    }
                }
            }
        }
        say(Tables(results: results).text)
        // A trial that could not be finished is a result too, but not a good one.
        guard results.records.allSatisfy(\.isGood) else { exit(1) }
    }

    private static func describe(_ lab: Lab, _ options: inout Options) throws -> Machine {
        for host in ["alpha", "beta"] {
            if let rate = options.link {
                try lab.call("link", host, "--rate", rate)
            } else {
                try lab.call("link", host, "--clear")
            }
        }
        let shell = try HostShell(lab, "alpha")
        var machine = Machine(link: options.link ?? "unshaped")
        machine.criu = try shell.run("criu --version | sed -n 's/^Version: //p'")
        machine.runc = try shell.run("runc --version | sed -n 's/^runc version //p'")
        let version = try shell.attempt("command -v martlet >/dev/null && martlet --version")
        if version.status == 0 {
            machine.martlet = version.output
        } else if options.ways.contains(where: { $0 == MartletWay.self }) {
            say("martlet is not installed in the lab: measuring its peers only", to: 2)
            options.ways.removeAll { $0 == MartletWay.self }
        }
        return machine
    }

    private static func progress(_ record: Record) {
        let outcome =
            record.problem.map { "FAILED: \($0)" }
            ?? "\(ms(record.downtimeMS ?? 0)) ms, \(rounded((record.totalMS ?? 0) / 1000, digits: 2)) s\(record.isGood ? "" : ", DATA DIFFERS")"
        say("run \(record.run), \(record.size) GB, \(record.underWriter ? "writer" : "idle"), \(record.way): \(outcome)", to: 2)
    }

    private static func keep(_ results: Results, _ options: Options) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        try writeFile(
            "\(options.folder)/\(options.name).json", String(decoding: try encoder.encode(results), as: UTF8.self) + "\n")
        try writeFile("\(options.folder)/\(options.name).md", Tables(results: results).text + "\n")
    }
}
