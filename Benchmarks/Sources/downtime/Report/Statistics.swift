extension Sequence where Element == Double {
    /// The middle one; of an even number the lower of the two in the middle.
    var median: Double? {
        let sorted = self.sorted()
        return sorted.isEmpty ? nil : sorted[(sorted.count - 1) / 2]
    }

    /// Median and spread, such as `74 (67-182)`.
    func summary(_ format: (Double) -> String) -> String {
        let sorted = self.sorted()
        guard let median = sorted.median, let first = sorted.first, let last = sorted.last else { return "-" }
        return sorted.count == 1 ? format(median) : "\(format(median)) (\(format(first))-\(format(last)))"
    }
}

/// `1234567` as `1.23 M`, three digits.
func short(_ number: Double) -> String {
    let (value, unit) =
        number >= 1e9
        ? (number / 1e9, " G") : number >= 1e6 ? (number / 1e6, " M") : number >= 1e4 ? (number / 1e3, " k") : (number, "")
    return rounded(value, digits: unit.isEmpty || value >= 100 ? 0 : value >= 10 ? 1 : 2) + unit
}

/// Fixed-point text without Foundation.
func rounded(_ number: Double, digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let whole = Int((number * scale).rounded())
    guard digits > 0 else { return "\(whole)" }
    let fraction = String(abs(whole) % Int(scale))
    return "\(whole / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
}

/// Milliseconds, with a digit behind the point only where it says something.
func ms(_ number: Double) -> String { rounded(number, digits: number < 10 ? 1 : 0) }
