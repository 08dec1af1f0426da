import CLinux
import Glibc

/// What may happen to a folder of the destination that a migration wants to fill.
///
/// The rule protects what the destination's owner has there: Martlet writes only into folders that it makes itself,
/// that it filled for this very container before, or that are plainly the same bundle.
public enum BundlePlace {
    /// What stands at the path now.
    public struct Sight: Codable, Sendable, Hashable {
        public enum Kind: String, Codable, Sendable, Hashable { case absent, folder, emptyFolder, other }
        public var kind: Kind
        /// The container that Martlet's own record names for this path.
        public var recorded: String?
        /// config.json there equals the source's, byte by byte. nil: one of them has none (a folder that isn't a bundle).
        public var sameConfiguration: Bool?
        /// A container at the destination that uses it.
        public var usedBy: String?
        /// The path belongs to the system (`/etc`, `/usr`), lies in no folder of the root, or isn't a plain absolute path.
        public var forbidden: Bool
        public init(
            kind: Kind, recorded: String? = nil, sameConfiguration: Bool? = nil, usedBy: String? = nil,
            forbidden: Bool = false
        ) {
            self.kind = kind
            self.recorded = recorded
            self.sameConfiguration = sameConfiguration
            self.usedBy = usedBy
            self.forbidden = forbidden
        }
    }

    public enum Judgement: Codable, Sendable, Hashable {
        /// Nothing there: it will be made, and removed by a rollback.
        case create
        /// The container lived here before: only differences travel. A rollback leaves the folder.
        case reuse
        /// Looks like a copy of the same bundle: used, with a warning.
        case reuseUnrecorded
        /// A volume whose content there is replaced, because the person said so.
        case replace
        case refuse(Reason)
    }

    public enum Reason: Codable, Sendable, Hashable {
        case forbiddenPath
        case notAFolder
        case usedBy(String)
        case recordedFor(String)
        case foreign
    }

    /// Folders in which a migration never makes anything, whatever the source asks for.
    static let systemFolders = [
        "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/sys", "/usr",
        "/run/systemd", "/run/runc", "/var/lib/dpkg", "/var/lib/martlet", "/var/spool",
    ]

    /// Whether `path` is a plain absolute path outside the system's folders, at least two names deep or a folder of
    /// its own below the root.
    public static func isAcceptable(_ path: String) -> Bool {
        guard path.hasPrefix("/"), path.utf8.count < 4096, !path.utf8.contains(0) else { return false }
        let names = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        guard !names.isEmpty, names.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." && $0.utf8.count < 256 })
        else { return false }
        let topFolders: Set = ["/home", "/root", "/var", "/run", "/opt", "/srv", "/mnt", "/media", "/tmp", "/data"]
        guard !topFolders.contains(path), path != "/var/lib", path != "/var/tmp", path != "/run/netns" else { return false }
        return !systemFolders.contains { path.isAtOrBelow($0) || $0.isAtOrBelow(path) }
    }

    /// Whether a folder stands at a path.
    static func isFolder(_ path: String) -> Bool {
        var state = linux_file_state()
        return linux_file_state(AT_FDCWD, path, 0, &state) == 0 && state.mode & LINUX_S_IFMT == LINUX_S_IFDIR
    }

    /// Decides what happens at a folder for container `id`.
    /// - Parameter replacing: a volume that may replace what is there; not what a container uses or what is no folder.
    public static func judge(_ sight: Sight, id: String, replacing: Bool = false) -> Judgement {
        if sight.forbidden { return .refuse(.forbiddenPath) }
        if sight.kind == .other { return .refuse(.notAFolder) }
        if let user = sight.usedBy { return .refuse(.usedBy(user)) }
        switch sight.kind {
        case .absent, .emptyFolder: return .create
        case .other: return .refuse(.notAFolder)
        case .folder:
            if let recorded = sight.recorded {
                return recorded == id ? .reuse : replacing ? .replace : .refuse(.recordedFor(recorded))
            }
            if replacing { return .replace }
            return sight.sameConfiguration == true ? .reuseUnrecorded : .refuse(.foreign)
        }
    }
}
