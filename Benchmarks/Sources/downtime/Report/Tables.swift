/// Results as text, in Markdown so that they can be read both in a terminal and in a document.
struct Tables {
    var results: Results

    var text: String {
        ([facts, main, frozen] + (details.map { [$0] } ?? []) + (problems.map { [$0] } ?? [])).joined(separator: "\n\n")
    }

    private var facts: String {
        let m = results.machine
        let loads = results.records.map(\.load)
        return """
            \(results.name): \(m.cores) cores (\(m.processor)), \(short(Double(m.memory)))B of memory, Linux \(m.kernel), CRIU \(m.criu), runc \(m.runc)\
            \(m.martlet.map { ", martlet \($0)" } ?? ""), link \(m.link), load \(loads.summary { rounded($0, digits: 1) }). Medians (min-max).
            """
    }

    private struct Case: Hashable {
        var size: Double
        var underWriter: Bool
        var way: String
    }

    private var cases: [Case] {
        var seen: Set<Case> = []
        let all = results.records.map { Case(size: $0.size, underWriter: $0.underWriter, way: $0.way) }.filter {
            seen.insert($0).inserted
        }
        let order = allWays.map { $0.name }
        return all.sorted {
            ($0.size, $0.underWriter ? 1 : 0, order.firstIndex(of: $0.way) ?? 9) < (
                $1.size, $1.underWriter ? 1 : 0, order.firstIndex(of: $1.way) ?? 9
            )
        }
    }

    private func records(_ wanted: Case) -> [Record] {
        results.records.filter { $0.size == wanted.size && $0.underWriter == wanted.underWriter && $0.way == wanted.way }
    }

    private var main: String {
        var rows = [
            ["redis", "load", "way", "downtime ms", "total s", "sent", "writes/s before", "during", "after", "lost", "data"]
        ]
        for one in cases {
            let all = records(one)
            let good = all.filter { $0.problem == nil }
            func rate(_ path: KeyPath<Record, Double?>) -> String {
                one.underWriter ? good.compactMap { $0[keyPath: path] }.median.map(short) ?? "-" : ""
            }
            rows.append([
                "\(one.size) GB", one.underWriter ? "writer" : "idle", one.way,
                good.compactMap(\.downtimeMS).summary(ms),
                good.compactMap(\.totalMS).map { $0 / 1000 }.summary { rounded($0, digits: $0 < 10 ? 2 : 1) },
                good.compactMap(\.bytesSent).map(Double.init).median.map { short($0) + "B" } ?? "-",
                rate(\.throughputBefore), rate(\.throughputDuring), rate(\.throughputAfter),
                one.underWriter ? "\(good.compactMap(\.lostWrites).reduce(0, +))" : "",
                "\(all.filter(\.isGood).count) of \(all.count)",
            ])
        }
        return table(rows)
    }

    /// Where each frozen millisecond goes.
    private var frozen: String {
        var rows = [["redis", "load", "way", "frozen steps, median ms", "sum", "client's gap"]]
        for one in cases {
            let good = records(one).filter { $0.problem == nil }
            var names: [String] = []
            for name in good.flatMap(\.steps).filter(\.frozen).map(\.name) where !names.contains(name) { names.append(name) }
            let medians = names.map { name in
                (name, good.map { $0.steps.filter { $0.frozen && $0.name == name }.map(\.milliseconds).reduce(0, +) }.median ?? 0)
            }
            rows.append([
                "\(one.size) GB", one.underWriter ? "writer" : "idle", one.way,
                medians.map { "\($0.0) \(ms($0.1))" }.joined(separator: ", "),
                good.map { $0.steps.filter(\.frozen).map(\.milliseconds).reduce(0, +) }.median.map(ms) ?? "-",
                good.compactMap(\.downtimeMS).median.map(ms) ?? "-",
            ])
        }
        return "Where the frozen time goes (as the tools' own steps take it; the client's gap for comparison):\n\n" + table(rows)
    }

    /// Inside Martlet's freeze. Names in the order in which they began, in the middle of all trials.
    private var details: String? {
        let shown = cases.filter { !records($0).flatMap(\.details).isEmpty }
        guard !shown.isEmpty else { return nil }
        let all = shown.flatMap(records).filter { $0.problem == nil }.flatMap(\.details)
        let starts = Dictionary(grouping: all, by: \.name).mapValues { $0.map(\.startMS).median ?? 0 }
        let names = starts.filter { $0.value < 1000 }.sorted { ($0.value, $0.key) < ($1.value, $1.key) }.map(\.key)
        var rows = [["inside Martlet's freeze"] + shown.map { "\($0.size) GB \($0.underWriter ? "writer" : "idle")" }]
        for name in names {
            rows.append(
                [name]
                    + shown.map { one in
                        let found = records(one).filter { $0.problem == nil }.flatMap(\.details).filter { $0.name == name }
                        guard let start = found.map(\.startMS).median, let took = found.map(\.milliseconds).median else {
                            return ""
                        }
                        return "\(ms(took)) at \(ms(start))"
                    })
        }
        return "Steps inside the freeze, beside and inside each other: median ms, and when they began after the freeze:\n\n"
            + table(rows)
    }

    private var problems: String? {
        let bad = results.records.filter { !$0.isGood }
        guard !bad.isEmpty else { return nil }
        return "Not good:\n"
            + bad.map {
                "- \($0.way) at \($0.size) GB \($0.underWriter ? "under a writer" : "idle"), run \($0.run): "
                    + ($0.problem.map { String($0.split(separator: "\n").joined(separator: "; ")) }
                        ?? "digest \($0.sameDigest == true ? "equal" : "differs"), \($0.lostWrites ?? 0) writes lost")
            }.joined(separator: "\n")
    }

    private func table(_ rows: [[String]]) -> String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        func line(_ row: [String]) -> String {
            "| " + zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: " | ") + " |"
        }
        let rule = "|" + widths.map { String(repeating: "-", count: $0 + 2) }.joined(separator: "|") + "|"
        return ([line(rows[0]), rule] + rows.dropFirst().map(line)).joined(separator: "\n")
    }
}
