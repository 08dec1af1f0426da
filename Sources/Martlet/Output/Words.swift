import Model
import Plan

/// Numbers and findings as people read them.
enum Words {
    static func bytes(_ count: Int) -> String {
        var value = Double(count)
        var unit = 0
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        while value >= 1024 && unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return unit == 0 ? "\(count) B" : "\(fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0)) \(units[unit])"
    }

    static func milliseconds(_ value: Double) -> String {
        value < 1000 ? "\(fixed(value, 1)) ms" : "\(fixed(value / 1000, 2)) s"
    }

    static func fixed(_ value: Double, _ digits: Int) -> String {
        var factor = 1.0
        for _ in 0..<digits { factor *= 10 }
        let whole = Int((value * factor).rounded())
        guard digits > 0 else { return "\(whole)" }
        let text = String(abs(whole)).leftPadded(digits + 1, "0")
        return (whole < 0 ? "-" : "") + text.dropLast(digits) + "." + text.suffix(digits)
    }

    static func padded(_ text: String, _ width: Int) -> String { text.leftPadded(width, " ") }

    static func finding(_ finding: Finding) -> String {
        let mark = finding.isBlocker ? "blocker" : "warning"
        var text = "\(mark) [\(finding.code)] on the \(finding.role.rawValue): \(finding.what): \(finding.why)"
        if !finding.hint.isEmpty { text += "\n        hint: \(finding.hint)" }
        return text
    }

    static func problem(_ problem: Problem) -> String {
        "\(problem.what): \(problem.why)" + (problem.hint.isEmpty ? "" : "\n  hint: \(problem.hint)")
    }

    /// The timeline of a finished migration: a line a phase, frozen ones marked.
    static func timeline(_ result: MigrationResult) -> String {
        let longest = max(result.phases.map(\.durationMS).max() ?? 1, 0.001)
        var lines = ["phase           start       took"]
        for span in result.phases {
            let bar = String(repeating: span.frozen ? "█" : "░", count: Int((span.durationMS / longest * 40).rounded()))
            lines.append(
                (span.round.map { "\(span.name) \($0)" } ?? span.name).rightPadded(12)
                    + milliseconds(span.startMS).leftPadded(9, " ")
                    + milliseconds(span.durationMS).leftPadded(11, " ") + (span.frozen ? " frozen " : "        ") + bar)
        }
        return lines.joined(separator: "\n")
    }
}

extension String {
    func leftPadded(_ width: Int, _ filler: Character) -> String {
        count >= width ? self : String(repeating: filler, count: width - count) + self
    }
    func rightPadded(_ width: Int) -> String { count >= width ? self : self + String(repeating: " ", count: width - count) }
}
