import CLinux
import Glibc
import Host

/// A file of which a process maps a part.
public struct MappedFile: Codable, Sendable, Hashable {
    /// As the process sees it.
    public var path: String
    /// Whether it's mapped to be executed, and so read all over.
    public var isProgram: Bool
    public init(path: String, isProgram: Bool) {
        self.path = path
        self.isProgram = isProgram
    }
}

/// Has files in the page cache before a freeze that would wait for the disk.
///
/// CRIU looks for the build-id in the first MiB of every mapped file, at the dump and again at the restore (criu/files-reg.c), maps them,
/// and writes into private mappings; the restored program goes on in their code. Kernels and hosts that take back what was not used for a
/// minute make all of this slow: a redis stood still for 314 instead of 72 ms. Files that are there cost 0.1 ms/MiB.
public enum PageCache {
    static let head = 1 << 20
    /// Of a program. Larger ones are mostly data.
    static let most = 64 << 20
    /// A slow disk makes the freeze longer, not the migration fail: peers wait 20 s for an answer.
    static let patience = Duration.seconds(3)

    /// Reads what processes map: of programs all, of others what CRIU looks at. What can't be read is left out.
    public static func read(mappedBy pids: [Int32]) {
        let end = MonotonicInstant.now + patience
        var done: Set<FileIdentity> = []
        for pid in pids {
            guard let map = try? MemoryMap.of(pid: pid) else { continue }
            for (file, area) in files(map)
            where done.insert(FileIdentity(device: UInt64(area.device), inode: area.inode)).inserted {
                // By the mapping: the name may lead elsewhere by now, or nowhere.
                read("/proc/\(pid)/map_files/\(hex(area.start))-\(hex(area.end))", file.isProgram, until: end)
            }
        }
    }

    /// Reads files that a container's processes map elsewhere.
    /// - Parameter root: the folder that is its root here.
    public static func read(_ files: [MappedFile], inRoot root: String) {
        let end = MonotonicInstant.now + patience
        for file in files { read(root + ScopedPath.resolve(file.path, inRoot: root), file.isProgram, until: end) }
    }

    /// Files with a name that a process maps, each once.
    static func files(_ map: MemoryMap) -> [(file: MappedFile, area: MemoryArea)] {
        var found: [(file: MappedFile, area: MemoryArea)] = []
        var places: [String: Int] = [:]
        for area in map.areas where area.kind == .filePrivate || area.kind == .fileShared {
            let path = map.name(of: area)
            let isProgram = area.protection.contains(.execute)
            if let place = places[path] {
                if isProgram { found[place].file.isProgram = true }
            } else if path.hasPrefix("/") {
                places[path] = found.count
                found.append((MappedFile(path: path, isProgram: isProgram), area))
            }
        }
        return found
    }

    private static func read(_ path: String, _ whole: Bool, until deadline: MonotonicInstant) {
        // Opening a device or a FIFO can do something: the kind is asked first.
        guard deadline.remaining > .zero, let place = try? OwnedDescriptor(opening: path, flags: LINUX_O_PATH) else { return }
        var status = stat()
        guard fstat(place.raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            let file = try? OwnedDescriptor(opening: "/proc/self/fd/\(place.raw)", flags: O_RDONLY)
        else { return }
        let end = min(Int(status.st_size), whole ? most : head)
        withUnsafeTemporaryAllocation(byteCount: head, alignment: 16) { buffer in
            var done = 0
            while done < end && deadline.remaining > .zero {
                let n = pread(file.raw, buffer.baseAddress, min(head, end - done), done)
                guard n > 0 else { return }
                done += n
            }
        }
    }

    private static func hex(_ address: UInt64) -> String { String(address, radix: 16) }
}
