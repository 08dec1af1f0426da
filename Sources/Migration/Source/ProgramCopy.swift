import Containers
import Host
import Model
import Pages
import Plan
import Wire

/// Brings this very program to a host that has none, over ssh: `--copy-binary`. It lies in a folder of its own, named by its
/// content, so that it never takes the place of an installed one, and so that whoever recovers finds it by the same name.
enum ProgramCopy {
    private static let place = "/usr/local/lib/martlet"
    /// Some 130 MB, over the slowest link worth it.
    private static let limit = Duration.seconds(600)
    private static let lookLimit = Duration.seconds(40)

    /// What is beside the program; the destination needs the first, and the second where it lacks tar's own ways.
    private static let companions = ["libmartlet-criu.so", "martlet-tar"]

    private static func parts() -> [String] { [Places.program] + companions.compactMap { CriuShim.findLibrary($0) } }

    /// The folder at the destination.
    static func folder() throws(SystemError) -> String {
        var hash: UInt64 = 0
        for part in parts() { hash = try FileHash.of(part, seed: hash) }
        let digits = String(hash, radix: 16)
        return "\(place)/copy-\(String(repeating: "0", count: 16 - digits.count))\(digits)"
    }

    /// Makes sure that the copy is there.
    static func bring(over route: SSHRoute, reporter: any ProgressReporter) throws {
        let what = "bring martlet to \(route.address)"
        do {
            let folder = try folder()
            let look = try route.run("test -x \"\(folder)/martlet\"", within: lookLimit)
            if look.status.isSuccess { return }
            guard look.status == .exited(1) else { throw problem(what, look) }
            reporter.report(.note("bringing martlet to \(route.address):\(folder)"))
            try send(to: folder, over: route, what)
        } catch {
            throw Problem.of(error, what: what)
        }
    }

    private static func send(to folder: String, over route: SSHRoute, _ what: String) throws {
        let ends = try Pipe()
        var spawn = Spawn("tar", try packing())
        spawn.descriptors = [1: ends.write.raw, 2: 2]
        let tar = try spawn.start()
        let packed = ends.closeWriteEnd()
        let run = try route.run(unpacking(folder), input: packed.raw, within: limit)
        // With nobody left who reads, a tar that is not done ends by itself.
        try packed.close()
        let made = try tar.wait(until: .now + .seconds(10))
        guard run.status.isSuccess else { throw problem(what, run) }
        guard made?.isSuccess == true else {
            throw Problem(what: what, why: "tar did not pack it: \(made.map { "\($0)" } ?? "it does not end")")
        }
    }

    private static func problem(_ what: String, _ run: SSHRun) -> Problem {
        if case .remote = run.failure, let last = run.lines.last {
            return Problem(what: what, why: last, hint: "it goes to \(place), which root can write; 150 MB are enough")
        }
        return Problem(what: what, why: "it could not be unpacked there: \(run.status)", hint: "tar and root are needed there")
    }

    /// All in one folder: the loader looks beside the program (its run path has $ORIGIN).
    private static func packing() throws(SystemError) -> [String] {
        let program = Places.program
        let listing = try Spawn.run("ldd", [program])
        // ldd's no is a program without libraries.
        let libraries = listing.status.isSuccess ? ProgramLibraries.list(ldd: listing.outputText) : []
        let words = ["-c", "-h", "-f", "-", "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX"]
        return words
            + (parts() + libraries).flatMap { path in
                let cut = path.lastIndex(of: "/") ?? path.startIndex
                return ["-C", String(path[..<cut]), String(path[path.index(after: cut)...])]
            }
    }

    /// Complete or not there at all: two sources may bring it at the same time, and a link may break.
    private static func unpacking(_ folder: String) -> String {
        let name = Places.program.split(separator: "/").last ?? "martlet"
        return """
            umask 022; new="\(folder).$$"; mkdir -p "$new" || exit 1; \
            if tar -x -o -f - -C "$new" && { [ "\(name)" = martlet ] || mv "$new/\(name)" "$new/martlet"; } && sync "$new/martlet" && \
            { [ -x "\(folder)/martlet" ] || mv -T "$new" "\(folder)"; }; then rm -rf "$new"; exit 0; fi; \
            rm -rf "$new"; exit 1
            """
    }
}
