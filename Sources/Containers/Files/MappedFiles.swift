import CLinux
import Glibc
public import Host

/// Files whose content can change without a trace that a watch or a ctime shows at once: those that processes have mapped shared and
/// writable, and those that a process with a libaio ring has open for writing (`OpenFiles`).
///
/// /proc/PID/maps and /proc/PID/map_files (Linux 3.3).
///
/// Needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. The numbers in `maps` aren't used: on overlayfs and btrfs they differ from those of
/// stat(2), while following the link of map_files gives the file itself.
public enum MappedFiles {
    /// - Parameter pids: processes that have ended are skipped.
    public static func of(pids: [Int32]) throws(SystemError) -> Set<FileIdentity> {
        var found = Set<FileIdentity>()
        for pid in pids {
            do throws(SystemError) {
                let map = try MemoryMap.of(pid: pid)
                for area in map.areas
                where area.inode != 0 && area.protection.contains(.shared) && area.protection.contains(.write) {
                    let range = String(area.start, radix: 16) + "-" + String(area.end, radix: 16)
                    if let file = identity("/proc/\(pid)/map_files/\(range)") { found.insert(file) }
                }
                let usesRing = map.areas.contains { $0.protection.contains(.shared) && map.name(of: $0).hasPrefix("/[aio]") }
                if usesRing { found.formUnion(try OpenFiles.written(by: pid)) }
            } catch {
                guard error.errno == ENOENT || error.errno == ESRCH else { throw error }
            }
        }
        return found
    }

    /// - Returns: nil if the area is gone.
    private static func identity(_ link: String) -> FileIdentity? {
        guard let file = try? OwnedDescriptor(opening: link, flags: LINUX_O_PATH) else { return nil }
        var state = linux_file_state()
        guard linux_file_state(file.raw, "", LINUX_AT_EMPTY_PATH, &state) == 0 else { return nil }
        return FileIdentity(state)
    }
}
