import CLinux
import FoundationEssentials
import Glibc
public import Host

/// Makes, records and removes the folders of moved containers on this host.
///
/// Records stand in a folder of Martlet's own, one file for each place, not in the bundle, which belongs to the container.
public struct BundleKeeper: Sendable {
    /// Where a container lived: written when a migration is committed.
    struct Record: Codable {
        var path: String
        var container: String
    }

    /// What one migration made here, for the journal. `undo` removes exactly this.
    public struct Made: Codable, Sendable, Hashable {
        /// Folders made, parents first. The last of them is the one that is filled.
        public var folders: [Folder] = []
        public struct Folder: Codable, Sendable, Hashable {
            public var path: String
            public var identity: FileIdentity
        }
        /// The filled folder, nil if it existed and stays.
        public var filled: String?
        /// An empty folder that existed and was filled: emptied again, with the mode and owner that it had.
        public var emptied: Emptied?
        public struct Emptied: Codable, Sendable, Hashable {
            public var folder: Folder
            public var mode: UInt32
            public var user: UInt32
            public var group: UInt32
        }
        public init() {}
    }

    private let records: String
    public init(records: String = "/var/lib/martlet/bundles") { self.records = records }

    /// Looks at a place.
    /// - Parameters:
    ///   - configuration: config.json of the source's bundle; nil for a folder that is no bundle.
    ///   - users: containers on this host by the folders that they use (bundles and root file systems).
    public func sight(_ path: String, configuration: [UInt8]?, users: [String: String]) -> BundlePlace.Sight {
        guard BundlePlace.isAcceptable(path), let real = realPath(path), BundlePlace.isAcceptable(real) else {
            return .init(kind: .other, forbidden: true)
        }
        var state = linux_file_state()
        guard linux_file_state(AT_FDCWD, real, 0, &state) == 0 else { return .init(kind: .absent) }
        guard state.mode & LINUX_S_IFMT == LINUX_S_IFDIR else { return .init(kind: .other) }
        let isEmpty = ((try? FileIO.list(real)) ?? ["?"]).isEmpty
        let user = users.first { $0.key.isAtOrBelow(real) || real.isAtOrBelow($0.key) }?.value
        let here = try? FileIO.read("\(real)/config.json")
        return .init(
            kind: isEmpty ? .emptyFolder : .folder, recorded: recorded(real),
            sameConfiguration: configuration.flatMap { wanted in here.map { $0 == wanted } }, usedBy: user)
    }

    /// The path without links, of which the last parts may not exist yet.
    private func realPath(_ path: String) -> String? {
        var head = path, tail = ""
        while true {
            if let real = realpath(head, nil) {
                defer { free(real) }
                let text = String(cString: real)
                return (text == "/" ? "" : text) + tail
            }
            guard errno == ENOENT, let slash = head.lastIndex(of: "/"), slash != head.startIndex else {
                return errno == ENOENT ? head + tail : nil
            }
            tail = String(head[slash...]) + tail
            head = String(head[..<slash])
        }
    }

    /// Makes the folder and the missing ones above it, mode 0755 (rsync sets the right one), owned by root.
    /// - Throws: ELOOP if a link stands in the path, so that it can't be turned between look and use.
    public func make(_ path: String) throws(SystemError) -> Made {
        var made = Made()
        guard let real = realPath(path) else { throw SystemError(call: "realpath", subject: path, errno: errno) }
        var at = ""
        for name in real.split(separator: "/") {
            at += "/\(name)"
            let result = linux_mkdirat(AT_FDCWD, at, 0o755)
            if result == -Int(EEXIST) { continue }
            do { try kernelResult("mkdir", at, result) } catch {
                undo(made)
                throw error
            }
            var state = linux_file_state()
            try kernelResult("statx", at, linux_file_state(AT_FDCWD, at, 0, &state))
            made.folders.append(.init(path: at, identity: FileIdentity(state)))
        }
        if made.folders.last?.path == real { made.filled = real } else { made.emptied = try emptyFolder(real) }
        return made
    }

    private func emptyFolder(_ path: String) throws(SystemError) -> Made.Emptied? {
        let folder = try OwnedDescriptor(opening: path, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        guard try FileIO.list(path).isEmpty else { return nil }
        var details = linux_file_details()
        try kernelResult("fstat", path, linux_file_details(folder.raw, &details))
        return .init(
            folder: .init(path: path, identity: FileIdentity(device: details.device, inode: details.inode)),
            mode: details.mode & 0o7777,
            user: details.user, group: details.group)
    }

    /// Empties a folder that was empty and restores its mode and owner.
    private func restore(_ emptied: Made.Emptied) throws(SystemError) -> Bool {
        let path = emptied.folder.path, view = try FolderView(path: path)
        var state = linux_file_state()
        try kernelResult("statx", path, linux_file_state(view.folder.raw, "", LINUX_AT_EMPTY_PATH, &state))
        guard FileIdentity(state) == emptied.folder.identity, try TreeRemoval.empty(view.folder.raw, path) else { return false }
        try kernelResult("fchown", path, fchown(view.folder.raw, emptied.user, emptied.group) < 0 ? -Int(errno) : 0)
        try kernelResult("fchmod", path, fchmod(view.folder.raw, emptied.mode) < 0 ? -Int(errno) : 0)
        return true
    }

    /// Removes what was made, after a rollback: the filled folder with all in it, parents only if they are empty. Never what is mounted.
    /// - Returns: paths that had to stay.
    @discardableResult
    public func undo(_ made: Made) -> [String] {
        var stayed: [String] = []
        if let emptied = made.emptied, (try? restore(emptied)) != true { stayed.append(emptied.folder.path) }
        for folder in made.folders.reversed() {
            if folder.path == made.filled {
                if (try? TreeRemoval.remove(folder.path, identity: folder.identity)) != true { stayed.append(folder.path) }
            } else if rmdir(folder.path) != 0, errno != ENOENT {
                stayed.append(folder.path)
            }
        }
        return stayed
    }

    /// Remembers that the container lives here from now on, so that it may come back incrementally.
    public func record(_ path: String, container: String) throws(SystemError) {
        let real = realPath(path) ?? path
        if !FileIO.exists(records) { _ = try BundleKeeper.makeAll(records) }
        // two strings: always encodable
        guard let bytes = try? JSONEncoder().encode(Record(path: real, container: container)) else { return }
        try FileIO.writeAtomically(Array(bytes), to: file(real))
    }

    /// Forgets a place.
    public func forget(_ path: String) { unlink(file(realPath(path) ?? path)) }

    private static func makeAll(_ path: String) throws(SystemError) {
        var at = ""
        for name in path.split(separator: "/") {
            at += "/\(name)"
            let result = linux_mkdirat(AT_FDCWD, at, 0o700)
            if result != -Int(EEXIST) { try kernelResult("mkdir", at, result) }
        }
    }

    private func recorded(_ path: String) -> String? {
        guard let bytes = try? FileIO.read(file(path)),
            let record = try? JSONDecoder().decode(Record.self, from: Data(bytes)), record.path == path
        else { return nil }
        return record.container
    }

    /// File names are limited to 255 bytes: a readable end of the path and a hash (FNV-1a, 64 bits) of the whole. The record holds the
    /// path itself, so that a clash is seen.
    private func file(_ path: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in path.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let tail = path.utf8.suffix(80).map { byte -> Character in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                ? Character(UnicodeScalar(byte)) : "-"
        }
        return "\(records)/\(String(hash, radix: 16))\(String(tail)).json"
    }
}
