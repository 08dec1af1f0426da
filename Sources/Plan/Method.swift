/// A way to move memory; the names are those of `--method`.
public enum Method: String, Hashable, Sendable, Codable, CaseIterable {
    /// Pre-copy; if that can't meet the limit, hybrid where both hosts can, else stop-copy of the rest.
    case auto
    /// Freeze first, send everything, restore. The shortest total time, the longest downtime.
    case stopCopy = "stop-copy"
    /// Freeze first; CRIU's dump sends the memory to CRIU's page server at the destination, which makes the images there.
    case pageServer = "page-server"
    /// Rounds while the container runs, the rest during the freeze.
    case preCopy = "pre-copy"
    /// Rounds while the container runs, the rest by CRIU's page server.
    case preCopyPageServer = "pre-copy-page-server"
    /// Freeze at once and let everything stay behind: the container runs with the skeleton alone, and fetches its memory. CRIU's
    /// lazy pages, served by Martlet.
    case postCopy = "post-copy"
    /// Rounds while the container runs; what is dirty at the freeze stays behind and is fetched after the release.
    case hybrid
    case replay

    /// Whether this build can carry it out.
    public var isSupported: Bool {
        switch self {
        case .auto, .stopCopy, .pageServer, .preCopy, .preCopyPageServer, .postCopy, .hybrid: true
        case .replay: false
        }
    }

    /// Whether memory is copied while the container still runs.
    public var hasRounds: Bool {
        switch self {
        case .auto, .preCopy, .preCopyPageServer, .hybrid, .replay: true
        case .stopCopy, .pageServer, .postCopy: false
        }
    }

    /// Whether the frozen memory goes to CRIU's page server.
    public var usesPageServer: Bool { self == .pageServer || self == .preCopyPageServer }

    /// Whether pages are always still at the source when the container runs at the destination.
    public var leavesPages: Bool { self == .hybrid || self == .postCopy }

    /// - Parameter name: what stands behind `--method`.
    /// - Throws: `OptionError` with words for a person, both for unknown names and for methods this build lacks.
    public static func parse(_ name: String) throws(OptionError) -> Method {
        guard let method = Method(rawValue: name) else {
            throw OptionError(
                option: "--method", value: name, why: "there is no such method",
                hint: "known: " + allCases.map(\.rawValue).joined(separator: ", "))
        }
        guard method.isSupported else {
            throw OptionError(
                option: "--method", value: name, why: "this build of Martlet can't do it yet",
                hint: "it can do: " + allCases.filter(\.isSupported).map(\.rawValue).joined(separator: ", "))
        }
        return method
    }
}

/// A wrong option, in words; exit code 2.
public struct OptionError: Error, Hashable, Sendable, CustomStringConvertible {
    public var option: String
    public var value: String
    public var why: String
    public var hint: String

    public init(option: String, value: String, why: String, hint: String = "") {
        self.option = option
        self.value = value
        self.why = why
        self.hint = hint
    }

    public var description: String {
        "\(option) \(value): \(why)" + (hint.isEmpty ? "" : " (\(hint))")
    }
}
