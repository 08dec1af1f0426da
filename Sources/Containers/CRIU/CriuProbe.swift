import Glibc
import Host

/// What the CRIU of a host can do. Which ways follow from it is decided in `Plan.WayChoice`.
public struct CriuProbe: Hashable, Sendable, Codable {
    public var version: CriuVersion
    /// Kernel and CRIU have userfaultfd for other processes.
    public var hasLazyPages: Bool
    /// Soft-dirty tracking, which Martlet doesn't need; 6.18 kernels of some clouds lack it.
    public var hasMemoryTracking: Bool
    /// The library was loaded, and CRIU calls what it stands in front of.
    public var takesShim: Bool
    /// Why it doesn't take the library, in words.
    public var shimObstacle: String?
    /// What `criu check` complains of: features of the kernel that every dump and restore needs. Nil if it is content.
    public var complaint: String?

    /// Older ones fail on current kernels: 3.17 on vDSO bounds, 4.1.1 on SO_PASSCRED of TCP sockets (restore.md).
    public static let oldestVersion = CriuVersion(4, 2)

    public init(version: CriuVersion, hasLazyPages: Bool, hasMemoryTracking: Bool, takesShim: Bool) {
        self.version = version
        self.hasLazyPages = hasLazyPages
        self.hasMemoryTracking = hasMemoryTracking
        self.takesShim = takesShim
    }

    public var isRecentEnough: Bool { version >= Self.oldestVersion }
    /// Without the library a restore can't be held before its tasks run: no safe commit, so no migration to here.
    public var canHoldRestore: Bool { takesShim }

    /// For each question. Healthy ones take 5 to 60 ms; the peer waits 20 s for all of them.
    private static let limit = Duration.seconds(4)

    /// Asks a host's CRIU.
    /// - Parameters:
    ///   - program: `criu`, or a path.
    ///   - shim: the folder of a migration, or nil where no library is to be used.
    /// - Throws: if there is no CRIU, or it doesn't even tell its version.
    public static func ask(program: String = "criu", shim: CriuShim?) throws(CriuError) -> CriuProbe {
        let version = try CriuSession(.version, what: "version request", program: program)
        defer { version.kill() }
        let answer = try version.finish(within: limit)
        guard let number = answer.version else { throw .protocolViolation(what: "no version") }
        var probe = CriuProbe(version: number, hasLazyPages: false, hasMemoryTracking: false, takesShim: false)
        probe.askFeatures(program)
        if let shim { try probe.askShim(program, shim) } else { probe.shimObstacle = "Martlet's library for CRIU isn't used" }
        probe.complaint = check(program)
        return probe
    }

    private mutating func askFeatures(_ program: String) {
        do {
            let session = try CriuSession(
                .checkFeatures(memoryTracking: true, lazyPages: true), what: "feature check", program: program)
            defer { session.kill() }
            let answer = try session.finish(within: Self.limit)
            hasLazyPages = answer.hasLazyPages
            hasMemoryTracking = answer.hasMemoryTracking
        } catch { hasLazyPages = false }  // one that doesn't even answer has none
    }

    /// `criu check` looks at what every dump needs of the kernel, and exits with 1 if something is missing.
    private static func check(_ program: String) -> String? {
        guard let run = try? Spawn.run(program, ["check"], timeout: limit), !run.status.isSuccess || run.timedOut else {
            return nil
        }
        let lines = (run.errorText + run.outputText).split(separator: "\n").filter { $0.contains("Error") }
        let words = lines.prefix(3).map { $0.drop { $0 == " " } }.joined(separator: "; ")
        return words.isEmpty ? "criu check ended with \(run.status)" : words
    }

    /// Whether the library gets in front of CRIU's calls: it reports from the place where a restore would be held.
    /// The request is one that CRIU refuses once it is let go, so nothing happens.
    private mutating func askShim(_ program: String, _ shim: CriuShim) throws(CriuError) {
        do {
            let listener = try UnixSocket.listen(at: shim.controlPath, .messages)
            defer { unlink(shim.controlPath) }
            let session = try CriuSession(
                .restore(CriuOptions()), what: "library test", program: program, environment: shim.environment)
            defer { session.kill() }
            guard let socket = try listener.accept(until: .now + Self.limit) else {
                shimObstacle = "Martlet's library isn't called by this CRIU (statically linked, or other names)"
                return
            }
            let control = RestoreControl(socket)
            if case .held = try control.receive() {
                takesShim = true
            } else {
                shimObstacle = "Martlet's library in CRIU doesn't answer"
            }
        } catch let error as CriuError { throw error } catch let error as SystemError { throw .system(error) } catch {
            throw .shim(what: "\(error)")
        }
    }
}
