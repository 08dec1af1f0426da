import Glibc
import Host

/// How a dump leaves out the memory that Martlet carries itself, best first.
public enum DumpWay: String, Hashable, Sendable, CaseIterable, Codable {
    /// The library hides pages from CRIU: 20 to 70 ms at 3 GB.
    case skeleton
    /// CRIU's own lazy pages: 300 ms at 3 GB; a client that vanishes makes CRIU kill the source.
    case criuLazy = "criu-lazy"
    /// All memory goes through the images: 0.7 s/GB.
    case plain
}

/// How a restore gets its anonymous memory.
public enum RestoreWay: String, Hashable, Sendable, CaseIterable, Codable {
    /// From the fault server, while it runs.
    case lazy
    /// From the images, before it runs.
    case plain
}

/// What the CRIU of a host can do, and which ways follow from it.
public struct CriuProbe: Hashable, Sendable {
    public var version: CriuVersion
    /// Kernel and CRIU have userfaultfd for other processes.
    public var hasLazyPages: Bool
    /// Soft-dirty tracking, which Martlet doesn't need; 6.18 kernels of some clouds lack it.
    public var hasMemoryTracking: Bool
    /// The library was loaded, and CRIU calls what it stands in front of.
    public var takesShim: Bool
    /// Why not, and other remarks, in words.
    public var reasons: [String]

    /// Older ones fail on current kernels: 3.17 on vDSO bounds, 4.1.1 on SO_PASSCRED of TCP sockets (restore.md).
    public static let oldestVersion = CriuVersion(4, 2)

    public init(version: CriuVersion, hasLazyPages: Bool, hasMemoryTracking: Bool, takesShim: Bool, reasons: [String] = []) {
        self.version = version
        self.hasLazyPages = hasLazyPages
        self.hasMemoryTracking = hasMemoryTracking
        self.takesShim = takesShim
        self.reasons = reasons
    }

    public var isRecentEnough: Bool { version >= Self.oldestVersion }
    /// Without the library a restore can't be held before its tasks run: no safe commit, so no migration to here.
    public var canHoldRestore: Bool { takesShim }
    public var dumpWay: DumpWay { takesShim ? .skeleton : hasLazyPages ? .criuLazy : .plain }
    public var restoreWay: RestoreWay { hasLazyPages ? .lazy : .plain }

    /// Asks a host's CRIU.
    /// - Parameters:
    ///   - program: `criu`, or a path.
    ///   - shim: the folder of a migration, or nil where no library is to be used.
    /// - Throws: if there is no CRIU, or it doesn't even tell its version.
    public static func ask(program: String = "criu", shim: CriuShim?) throws(CriuError) -> CriuProbe {
        let version = try CriuSession(.version, what: "version request", program: program)
        let answer = try version.finish(within: .seconds(10))
        _ = try version.waitForEnd(within: .seconds(5))
        guard let number = answer.version else { throw .protocolViolation(what: "no version") }
        var probe = CriuProbe(version: number, hasLazyPages: false, hasMemoryTracking: false, takesShim: false)
        if !probe.isRecentEnough {
            probe.reasons.append("CRIU \(number) is older than \(oldestVersion), the oldest that works on current kernels")
        }
        probe.askFeatures(program)
        if let shim { try probe.askShim(program, shim) } else { probe.reasons.append("Martlet's library for CRIU isn't used") }
        return probe
    }

    private mutating func askFeatures(_ program: String) {
        do {
            let session = try CriuSession(
                .checkFeatures(memoryTracking: true, lazyPages: true), what: "feature check", program: program)
            let answer = try session.finish(within: .seconds(20))
            _ = try session.waitForEnd(within: .seconds(5))
            hasLazyPages = answer.hasLazyPages
            hasMemoryTracking = answer.hasMemoryTracking
            if !hasLazyPages { reasons.append("CRIU sees no userfaultfd for lazy pages on this kernel") }
        } catch { reasons.append("CRIU's feature check: \(error)") }
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
            guard let socket = try listener.accept(until: .now + .seconds(5)) else {
                reasons.append("Martlet's library isn't called by this CRIU (statically linked, or other names)")
                return
            }
            let control = RestoreControl(socket)
            if case .held = try control.receive() {
                takesShim = true
            } else {
                reasons.append("Martlet's library in CRIU doesn't answer")
            }
        } catch let error as CriuError { throw error } catch let error as SystemError { throw .system(error) } catch {
            throw .shim(what: "\(error)")
        }
    }
}
