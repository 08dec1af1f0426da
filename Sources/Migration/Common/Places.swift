import CLinux
import Containers
import Glibc
public import Host
public import Model

/// Where Martlet keeps its things on a host.
///
/// | folder | holds | survives |
/// | --- | --- | --- |
/// | `/var/lib/martlet/migrations/ID/` | journals, logs of CRIU | a reboot |
/// | `/var/lib/martlet/spill/` | pages that didn't fit in memory, in files without a name (`martlet agent --spill`) | nothing |
/// | `/run/martlet/ID/` | images, sockets, inputs of the shim: all on tmpfs, so that no disk is in the frozen window | nothing |
/// | `/run/martlet/sessions/` | one listening socket a session, by which the agent hands over connections | nothing |
public enum Places {
    public static let state = "/var/lib/martlet/migrations"
    public static let runtime = "/run/martlet"
    public static let sessions = "/run/martlet/sessions"
    public static let locks = "/run/martlet/locks"
    /// Records of bundles that Martlet brought to this host or moved away from it.
    public static let bundles = "/var/lib/martlet/bundles"
    public static let spill = "/var/lib/martlet/spill"
    public static let credentials = "/etc/martlet"

    public static func durable(_ migration: MigrationID) -> String { "\(state)/\(migration)" }
    public static func volatile(_ migration: MigrationID) -> String { "\(runtime)/\(migration)" }

    /// Where CRIU's images are: on the tmpfs, for nothing of them is worth a disk; unless they hold all memory and it has no
    /// room for that.
    /// - Parameter whole: the container's memory if the images hold it.
    static func images(_ migration: MigrationID, whole memory: ByteCount?) -> String {
        let fast = "\(volatile(migration))/images"
        guard let memory else { return fast }
        let room = try? HostFacts.room(volatile: runtime, durable: state)
        return room?.takesImagesInMemory(of: memory) ?? true ? fast : "\(durable(migration))/images"
    }

    /// Removes all that an attempt needs only as long as it is under way, and what a killed CRIU of it left elsewhere.
    static func clear(_ migration: MigrationID) {
        for folder in ["\(volatile(migration))/images", "\(durable(migration))/images"] {
            _ = linux_umount("\(folder)/\(objects)", LINUX_MNT_DETACH)
        }
        for name in (try? FileIO.list(volatile(migration))) ?? [] where name.hasPrefix(tmpfsPrefix) {
            TmpfsPlace.remove("\(volatile(migration))/\(name)")
        }
        CriuShim.removeTemporary(of: "\(volatile(migration))/shim")
        remove(volatile(migration))
        remove("\(durable(migration))/images")
    }

    /// Mounts this process's descriptors at `objects` in a folder of images.
    static func showDescriptors(below images: String) throws(SystemError) {
        let point = "\(images)/\(objects)"
        try make(point)
        let result = linux_mount("/proc/\(getpid())/fd", point, "", UInt(LINUX_MS_BIND), "")
        guard result >= 0 else { throw SystemError(call: "mount", subject: point, errno: Int32(-result)) }
    }

    private static let objects = "objects"

    /// Where a container's tmpfs is mounted while it is carried (`TmpfsPlace`).
    static func tmpfs(_ migration: MigrationID, _ number: Int) -> String { "\(volatile(migration))/\(tmpfsPrefix)\(number)" }
    private static let tmpfsPrefix = "tmpfs-"

    public static func journal(_ migration: MigrationID, _ role: Role) -> String {
        "\(durable(migration))/\(role.rawValue).journal"
    }
    public static func door(_ migration: MigrationID) -> String { "\(sessions)/\(migration).sock" }

    /// What a session says that ssh started; one of the agent's says it where the agent does.
    static func sessionLog(_ migration: MigrationID) -> String { "\(durable(migration))/\(sessionLogName)" }
    static let sessionLogName = "session.log"

    /// The program's own file, for starting helpers. `/proc/self/exe` would name another file after an upgrade.
    public static let program = (try? FileIO.readLink("/proc/self/exe")) ?? "/usr/local/bin/martlet"

    /// A preloaded library or helper that was installed with the program: beside it, or under `../lib/martlet`, or in
    /// the build folder of a source tree.
    public static func companion(_ name: String) -> String? {
        let folder = String(program[..<(program.lastIndex(of: "/") ?? program.startIndex)])
        let candidates = [
            "\(folder)/\(name)", "\(folder)/../lib/martlet/\(name)", "/usr/local/lib/martlet/\(name)",
            "\(folder)/../../../build/lib/\(name)",
        ]
        return candidates.first(where: FileIO.exists)
    }

    /// Makes a folder and its parents, readable by root only.
    public static func make(_ path: String) throws(SystemError) {
        var made = ""
        for part in path.split(separator: "/") {
            made += "/\(part)"
            if mkdir(made, 0o700) != 0 && errno != EEXIST {
                throw SystemError(call: "mkdir", subject: made, errno: errno)
            }
        }
    }

    /// Removes a folder that Martlet made, without following links and without leaving its file system: a mount below
    /// it belongs to somebody else (a killed `runc restore` leaves the bundle's root mounted in its folder).
    public static func remove(_ path: String) {
        var own = stat()
        guard lstat(path, &own) == 0 else { return }
        guard own.st_mode & S_IFMT == S_IFDIR else {
            unlink(path)
            return
        }
        for name in (try? FileIO.list(path)) ?? [] {
            let child = "\(path)/\(name)"
            var status = stat()
            guard lstat(child, &status) == 0 else { continue }
            if status.st_mode & S_IFMT == S_IFDIR {
                if status.st_dev == own.st_dev { remove(child) }
            } else {
                unlink(child)
            }
        }
        rmdir(path)
    }
}
