import CLinux
import Glibc
import Host

/// The folder by which the library in `Preload/` is told what to do in the CRIU of one migration, one side.
///
/// Preload/martlet-criu.h describes the files. Without a file CRIU does what it always does.
public struct CriuShim: Sendable {
    /// Private to this migration, and short: a socket's path must fit in 107 bytes.
    public let directory: String
    /// libmartlet-criu.so; nil for a CRIU that goes without it.
    public let library: String?
    /// Whether the folder holds a `tar` of ours for small tmpfs, which then comes first in CRIU's PATH.
    public let hasTar: Bool

    /// Environment variable with the folder of the libraries, before all other places.
    public static let libraryVariable = "MARTLET_LIB_DIR"
    private static let longestDirectory = 107 - "/control".utf8.count

    /// Makes the folder, which must not exist: files of an earlier attempt would be obeyed.
    /// - Parameters:
    ///   - library: libmartlet-criu.so. Without it the folder only has the files that CRIU reads itself.
    ///   - tar: martlet-tar, nil for the host's own tar.
    public init(creating directory: String, library: String?, tar: String? = nil) throws(CriuError) {
        guard directory.hasPrefix("/"), directory.utf8.count <= Self.longestDirectory else {
            throw .shim(what: "\(directory) is no absolute path of at most \(Self.longestDirectory) bytes")
        }
        if let library, !FileIO.exists(library) {
            throw .shim(what: "\(library) isn't there: build it with Preload/build")
        }
        guard mkdir(directory, 0o700) == 0 else { throw .system(SystemError(call: "mkdir", subject: directory, errno: errno)) }
        self.directory = directory
        self.library = library
        hasTar = tar.map { symlink($0, "\(directory)/tar") == 0 } ?? false
    }

    /// Finds libmartlet-criu.so: where the variable says, beside the program, in ../lib, in the source tree's build/lib.
    public static func findLibrary(_ name: String = "libmartlet-criu.so") -> String? {
        var folders: [String] = []
        if let folder = getenv(libraryVariable) { folders.append(String(cString: folder)) }
        if let program = try? FileIO.readLink("/proc/self/exe") {
            let folder = program.split(separator: "/").dropLast()
            func up(_ levels: Int, _ rest: String) -> String { "/" + folder.dropLast(levels).joined(separator: "/") + rest }
            folders += [up(0, ""), up(1, "/lib/martlet"), up(1, "/lib"), up(3, "/build/lib"), up(2, "/build/lib")]
        }
        folders += ["/usr/local/lib/martlet", "/usr/lib/martlet"]
        return folders.map { "\($0)/\(name)" }.first { FileIO.exists($0) }
    }

    /// What CRIU's environment needs. A preload that is there already (the lab's) stays behind ours.
    public var environment: [String] {
        func inherited(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }
        let others = inherited("LD_PRELOAD")
        var all: [String] = []
        if let library { all = ["MARTLET_SHIM_DIR=\(directory)", "LD_PRELOAD=\(library)\(others.isEmpty ? "" : ":" + others)"] }
        if hasTar { all.append("PATH=\(directory):\(inherited("PATH"))") }
        return all
    }

    /// The socket at which a restore's CRIU reports.
    public var controlPath: String { "\(directory)/control" }
    /// CRIU options of the container's own configuration (`CriuConfiguration`).
    public var configurationPath: String { "\(directory)/criu.conf" }

    /// Leaves pages out of a dump. Written after the freeze, before CRIU is released from `pre-dump`.
    /// - Parameters:
    ///   - ranges: ascending, not overlapping (`HiddenRanges`).
    ///   - pid: as CRIU counts, which is our child.
    public func hide(_ ranges: [Range<UInt64>], of pid: Int32) throws(CriuError) {
        var text: [UInt8] = []
        text.reserveCapacity(ranges.count * 28)
        for range in ranges {
            text += String(range.lowerBound, radix: 16).utf8
            text.append(0x20)
            text += String(range.upperBound, radix: 16).utf8
            text.append(0x0a)
        }
        // Under its name when it is whole: CRIU may be waiting for it.
        let target = "\(directory)/hidden.\(pid)"
        try write(text, to: target + ".new")
        guard rename(target + ".new", target) == 0 else {
            throw .system(SystemError(call: "rename", subject: target, errno: errno))
        }
    }

    /// From now on a dump waits, at each process, for its ranges.
    public func beginListing() throws(CriuError) { try write([], to: "\(directory)/listing") }
    /// All ranges are there.
    public func endListing() { unlink("\(directory)/listing") }

    /// Leaves the content of shared memory out of a dump.
    /// - Parameters:
    ///   - inodes: of memfds and shared anonymous memory.
    ///   - segments: numbers of System V segments.
    public func hide(objects inodes: [UInt64], segments: [Int32] = []) throws(CriuError) {
        try write(Array(inodes.map { "\($0)\n" }.joined().utf8), to: "\(directory)/hidden-objects")
        if segments.isEmpty { return }
        try write(Array(segments.map { "\($0)\n" }.joined().utf8), to: "\(directory)/hidden-segments")
    }

    /// Has a restore take shared memory that is there already. Written before the restore is released.
    /// - Parameter objects: number at the source, and a descriptor below `objects` in the folder of images.
    public func give(objects: [(inode: UInt64, descriptor: Int32)]) throws(CriuError) {
        try write(Array(objects.map { "\($0.inode) \($0.descriptor)\n" }.joined().utf8), to: "\(directory)/objects")
    }

    /// Has a restore go on in an IPC namespace whose System V segments are there already. Written before the restore is released.
    /// - Parameters:
    ///   - segments: number and size.
    ///   - namespace: a descriptor below `objects` in the folder of images.
    public func give(segments: [(id: Int32, bytes: Int)], namespace: Int32) throws(CriuError) {
        let lines = segments.map { "\($0.id) \($0.bytes)\n" }.joined()
        try write(Array("\(namespace)\n\(lines)".utf8), to: "\(directory)/segments")
    }

    /// Has a restore share pages between processes. Written before the restore is released.
    public func give(_ common: CommonTable) throws(CriuError) { try write(common.encoded(), to: "\(directory)/common") }

    /// Serves a process's smaps from a copy (`SmapsSnapshot.rebuilt`).
    public func setSmaps(_ text: [UInt8], of pid: Int32) throws(CriuError) { try write(text, to: "\(directory)/smaps.\(pid)") }

    /// Lets the dump leave out connection tracking: only if the container's network namespace tracks no connection.
    public func skipConnectionTracking() throws(CriuError) { try write([], to: "\(directory)/no-conntrack") }

    /// Writes the container's CRIU options for the request's `configurationFile`.
    public func setConfiguration(_ configuration: CriuConfiguration) throws(CriuError) {
        try write(Array(configuration.text.utf8), to: configurationPath)
    }

    /// Removes folders in /tmp that a CRIU left which was killed; one that ended by itself has removed them.
    /// - Parameter directory: of a library's files, whether there or not.
    public static func removeTemporary(of directory: String) {
        guard let text = try? FileIO.readLine("\(directory)/temporary") else { return }
        for path in text.split(separator: "\n").map(String.init) where path.hasPrefix("/tmp/") && !path.contains("..") {
            if rmdir(path) != 0, errno == EBUSY, linux_umount(path, LINUX_MNT_DETACH) >= 0 { rmdir(path) }
        }
    }

    /// Removes the folder and the files in it, and what CRIU left.
    public func remove() {
        Self.removeTemporary(of: directory)
        for name in (try? FileIO.list(directory)) ?? [] { unlink("\(directory)/\(name)") }
        rmdir(directory)
    }

    /// No fsync: the folder is worthless after a crash, and this runs inside the freeze.
    private func write(_ bytes: [UInt8], to path: String) throws(CriuError) {
        do {
            let file = try OwnedDescriptor(opening: path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
            try FileIO.writeAll(bytes.span.bytes, to: file.raw, name: path)
        } catch { throw .system(error) }
    }
}
