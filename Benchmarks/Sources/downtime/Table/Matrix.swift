import FoundationEssentials
import Glibc

/// `downtime table LIST [--name NAME] [--minutes N] [--runs N] [--write-rate N]`: measures the cells of a list and keeps what came out as JSON.
enum Matrix {
    struct Results: Codable, Sendable {
        var name: String
        /// Seconds since 1970.
        var date: Int
        var machine: Machine
        /// Before the first cell, mean of the last minute.
        var loadAtStart: Double
        var entries: [Entry]
        /// Cells of the list that did not fit into `--minutes`.
        var leftOut: [String]
    }

    private struct Options {
        var list = ""
        var name = "local"
        var minutes = 600.0
        var runs = 1
        var writeRate = 20_000

        init(_ words: [String]) throws {
            var rest = words[...]
            while let word = rest.popFirst() {
                guard word.hasPrefix("--") else {
                    list = word
                    continue
                }
                guard let value = rest.popFirst() else { throw Failure("\(word) needs a value") }
                switch word {
                case "--name": name = value
                case "--minutes": minutes = try number(value)
                case "--runs": runs = try number(value)
                case "--write-rate": writeRate = try number(value)
                default: throw Failure("there is no option \(word)")
                }
            }
            guard !list.isEmpty else { throw Failure("usage: downtime table LIST [OPTION...]") }
        }

        private func number<Number: LosslessStringConvertible>(_ text: String) throws -> Number {
            guard let number = Number(text) else { throw Failure("'\(text)' is no number") }
            return number
        }
    }

    static func run(_ words: [String]) throws {
        let options = try Options(words), lab = Lab()
        let cells = try Cell.list(String(decoding: try readFile(options.list), as: UTF8.self))
        try lab.installClient(in: "client")
        var results = Results(
            name: options.name, date: time(nil), machine: try machine(lab), loadAtStart: Machine.load, entries: [], leftOut: [])
        let end = now() + Int64(options.minutes * 60e9)
        var link: Link?
        // How much longer this machine takes than was thought.
        var (thought, took) = (60.0, 60.0)
        for run in 1...options.runs {
            for (index, cell) in cells.enumerated() {
                let seconds = cell.seconds * took / thought
                guard now() + Int64(seconds * 1e9) < end else {
                    results.leftOut.append(cell.name)
                    continue
                }
                if link != cell.link { try cell.link.shape(lab) }
                link = cell.link
                let entry = CellMeasurement(lab: lab, cell: cell, run: run, writeRate: options.writeRate).entry()
                (thought, took) = (thought + cell.seconds, took + entry.seconds)
                results.entries.append(entry)
                progress(entry, "\(index + 1 + (run - 1) * cells.count)/\(cells.count * options.runs)", cell)
                try keep(results)
            }
        }
        if let link, link != .none { try Link.none.shape(lab) }
        try keep(results)
        guard results.entries.allSatisfy(\.isGood) else {
            say("table: not every cell could be measured; the table says which and why", to: 2)
            return
        }
    }

    private static func machine(_ lab: Lab) throws -> Machine {
        let shell = try HostShell(lab, "alpha")
        var machine = Machine(link: "as each cell says")
        machine.criu = try shell.run("criu --version | sed -n 's/^Version: //p'")
        machine.runc = try shell.run("runc --version | sed -n 's/^runc version //p'")
        machine.podman = try shell.run("podman --version 2>/dev/null | sed 's/.* //' || true")
        machine.martlet = try shell.run("martlet --version")
        return machine
    }

    private static func progress(_ entry: Entry, _ number: String, _ cell: Cell) {
        var words =
            entry.problem.map { "FAILED: \($0)" }
            ?? "\(ms(entry.downtimeMS ?? 0)) ms, \(rounded((entry.totalMS ?? 0) / 1000, digits: 2)) s"
        if entry.problem == nil, !entry.isGood { words += ", DATA DIFFERS" }
        say(
            "\(number) \(cell.name): \(words) (\(rounded(entry.seconds, digits: 0)) s, thought \(rounded(cell.seconds, digits: 0)))",
            to: 2)
    }

    /// A line for each cell: the windows would otherwise be a line each.
    private static func keep(_ results: Results) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        func text(_ value: some Encodable) throws -> String { String(decoding: try encoder.encode(value), as: UTF8.self) }
        let lines = try results.entries.map { try text($0) }.joined(separator: ",\n")
        try writeFile(
            "results/\(results.name).json",
            """
            {"name": \(try text(results.name)), "date": \(results.date), "loadAtStart": \(results.loadAtStart),
            "machine": \(try text(results.machine)),
            "leftOut": \(try text(results.leftOut)),
            "entries": [
            \(lines)
            ]}

            """)
    }
}
