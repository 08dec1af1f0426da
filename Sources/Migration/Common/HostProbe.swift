import Containers
import Glibc
import Host
import Model
import Pages
import Plan

/// What this host's CRIU and kernel can do, for `WayChoice`.
///
/// CRIU is asked once: four short runs of it, 0.1 to 0.3 s together, whose answers are kept on a tmpfs until the host boots,
/// CRIU or Martlet's library is another file, or a dump showed that they were wrong. The kernel is asked each time: microseconds.
/// All of it happens in the check phase, long before anything stands still.
struct HostProbe: Codable {
    /// Which files were asked.
    var identity: String
    /// Nil: there is none that answers.
    var criu: CriuProbe?
    /// What CRIU said instead of an answer.
    var failure: String?
    /// A dump had pages in its images that were hidden from it: how many, in words.
    var hidingFailed: String?

    static let cache = "\(Places.runtime)/criu-probe.json"

    private static let atStart = look()

    /// From the cache, or asked now; once in a process.
    static func current() -> HostProbe { atStart }

    private static func look() -> HostProbe {
        let identity = identity()
        if let bytes = try? FileIO.readIfPresent(cache), let known = try? JSON.decode(HostProbe.self, from: bytes),
            known.identity == identity
        {
            return known
        }
        let probe = ask(identity)
        // What went wrong may be mended in a moment, and is not kept.
        if probe.criu != nil { probe.keep() }
        return probe
    }

    /// From now on, until CRIU is another one, memory is not hidden on this host.
    static func note(hidingFailed words: String) {
        var probe = current()
        probe.hidingFailed = words
        probe.keep()
    }

    private func keep() {
        try? Places.make(Places.runtime)
        try? FileIO.writeAtomically(JSON.encode(self), to: Self.cache)
    }

    private static func ask(_ identity: String) -> HostProbe {
        let folder = "\(Places.runtime)/probe-\(getpid())"
        do {
            try Places.make(Places.runtime)
            let shim = try CriuShim.findLibrary().map { library throws(CriuError) in
                try CriuShim(creating: folder, library: library)
            }
            defer { shim?.remove() }
            var criu = try CriuProbe.ask(shim: shim)
            if shim == nil { criu.shimObstacle = "libmartlet-criu.so is not installed beside the program" }
            return HostProbe(identity: identity, criu: criu)
        } catch {
            return HostProbe(identity: identity, failure: "\(error)")
        }
    }

    /// The program that `criu` names now, the library, and the kernel.
    private static func identity() -> String {
        let folders = (getenv("PATH").map { String(cString: $0) } ?? "/usr/sbin:/usr/bin:/sbin:/bin").split(separator: ":")
        let programs: [String] = folders.map { "\($0)/criu" }
        let program = programs.first { (path: String) in access(path, X_OK) == 0 }
        let files: [String] = [program, CriuShim.findLibrary()].map { path in path.map { "\($0) \(stamp($0))" } ?? "none" }
        return ([(try? FileIO.readLine("/proc/sys/kernel/osrelease")) ?? ""] + files).joined(separator: ", ")
    }

    private static func stamp(_ path: String) -> String {
        var status = stat()
        guard stat(path, &status) == 0 else { return "none" }
        return "\(status.st_dev) \(status.st_ino) \(status.st_size) \(status.st_ctim.tv_sec).\(status.st_ctim.tv_nsec)"
    }

    /// What is missing, and why, in words.
    func missing() -> [Ability: String] {
        var missing: [Ability: String] = [:]
        let noCriu = failure.map { "CRIU can't be asked: \($0)" } ?? "CRIU can't be asked"
        if criu?.takesShim != true { missing[.library] = criu.map { $0.shimObstacle ?? "its CRIU doesn't take it" } ?? noCriu }
        if let hidingFailed { missing[.hiding] = hidingFailed }
        if criu?.hasLazyPages != true {
            missing[.lazyPages] = criu.map { _ in "CRIU finds no userfaultfd for lazy pages in this kernel" } ?? noCriu
        }
        do throws(SystemError) { _ = try Userfaultfd(features: [.eventFork, .eventRemap, .eventRemove, .eventUnmap]) } catch {
            missing[.userfaultfd] = "the kernel has no userfaultfd with events: \(error)"
        }
        if let obstacle = TrackerKind.writeProtect.probe().obstacle { missing[.writeProtect] = obstacle }
        if let obstacle = TrackerKind.softDirty.probe().obstacle { missing[.softDirty] = obstacle }
        return missing
    }
}
