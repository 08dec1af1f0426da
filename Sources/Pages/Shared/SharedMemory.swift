import CLinux
import Glibc
public import Host
public import Model

/// The shared memory of a container, mapped into this process too, so that it is read like that of any process.
///
/// Which of its pages were written nobody can tell for sure (write(2) to a memfd, punched holes, mappers that come and go are
/// not seen; docs/design.md), so a pass reads all of them, and what has the content that was sent before does not travel.
/// Only objects that lie whole in memory of the kernel's own tmpfs are taken: memfds, shared anonymous memory, System V segments.
public final class SharedMemory: @unchecked Sendable {
    // SAFETY: its owner calls it with a lock held.
    private struct Mapped {
        var object: SharedObject
        var file: OwnedFile
        /// Runs that may hold something else than zeros at the destination: a hole punched since is read as zeros.
        var known: [PageRun] = []
    }

    /// Keeps a descriptor and a mapping as long as it lives.
    private final class OwnedFile {
        let descriptor: OwnedDescriptor
        let address: UnsafeMutableRawPointer
        let length: Int
        init(_ descriptor: consuming OwnedDescriptor, _ address: UnsafeMutableRawPointer, _ length: Int) {
            self.descriptor = descriptor
            (self.address, self.length) = (address, length)
        }
        deinit { munmap(address, length) }
    }

    private let processes: @Sendable () throws(SystemError) -> [Int32]
    private let segments: SegmentSource?
    private let device: UInt32
    private let memory: RemoteMemory
    private var objects: [Mapped] = []
    private var next = SharedObject.firstSpace

    /// - Parameters:
    ///   - processes: the container's, as this host counts them.
    ///   - init: one of them in whose IPC namespace the segments are; nil: none are taken.
    public init(processes: @escaping @Sendable () throws(SystemError) -> [Int32], init pid: Int32? = nil) throws(SystemError) {
        self.processes = processes
        segments = pid.flatMap { SegmentSource(pid: $0) }
        let raw = linux_memfd_create("martlet-probe", 1 /* MFD_CLOEXEC */)
        guard raw >= 0 else { throw SystemError(call: "memfd_create", subject: "probe", errno: Int32(-raw)) }
        let probe = OwnedDescriptor(taking: Int32(raw))
        var details = linux_file_details()
        let result = linux_file_details(probe.raw, &details)
        guard result >= 0 else { throw SystemError(call: "statx", subject: "probe", errno: Int32(-result)) }
        // major << 32 | minor, as `linux_file_details` packs them; an area has major << 20 | minor
        device = UInt32(truncatingIfNeeded: (details.device >> 32) << 20 | details.device & 0xfffff)
        memory = try RemoteMemory(thread: getpid())
    }

    /// What is known so far.
    public var known: [SharedObject] { objects.map(\.object) }

    /// Looks for objects; such as have grown are new ones, under another number.
    /// - Returns: whether there are new ones.
    public func look() throws(SystemError) -> Bool {
        let before = next
        for pid in try processes() {
            guard let map = try? MemoryMap.of(pid: pid) else { continue }
            for area in map.areas where area.kind == .sharedMemory && area.device == device && area.protection.contains(.shared) {
                let size = objects.last { $0.object.inode == area.inode && $0.object.segment == nil }?.object.bytes.rawValue
                if let size, Int(area.offset + area.byteCount) <= size { continue }
                guard let name = Self.memfdName(map.name(of: area)) else { continue }
                try take(area, of: pid, name, knownSize: size)
            }
        }
        for found in segments?.new(besides: known) ?? [] { try take(found) }
        return next > before
    }

    private func take(_ found: SegmentSource.Found) throws(SystemError) {
        let file = try found.file.duplicate()
        var details = linux_file_details()
        guard linux_file_details(file.raw, &details) >= 0, details.inode == UInt64(found.line.id),
            UInt32(truncatingIfNeeded: (details.device >> 32) << 20 | details.device & 0xfffff) == device
        else { return }  // of huge pages, which lie elsewhere
        let length = (found.line.bytes + pageSize - 1) / pageSize * pageSize
        let address = try Self.map(file.raw, length, "System V segment \(found.line.id)")
        objects.removeAll { $0.object.segment?.id == found.line.id }
        let object = SharedObject(
            space: SpaceID(next), base: UInt64(UInt(bitPattern: address)), bytes: ByteCount(found.line.bytes),
            inode: UInt64(found.line.id), name: "", isSealable: false, owner: found.line.owner, group: found.line.group,
            segment: SharedObject.Segment(found.line))
        next += 1
        objects.append(Mapped(object: object, file: OwnedFile(file, address, length)))
    }

    private static func map(_ file: Int32, _ length: Int, _ subject: String) throws(SystemError) -> UnsafeMutableRawPointer {
        guard let address = mmap(nil, length, PROT_READ, MAP_SHARED, file, 0), address != MAP_FAILED else {
            throw SystemError(call: "mmap", subject: subject, errno: errno)
        }
        return address
    }

    /// `/memfd:NAME (deleted)` or `/dev/zero (deleted)`; System V has `/SYSV…`, /dev/shm a path.
    static func memfdName(_ text: String) -> String? {
        let end = " (deleted)"
        guard text.hasSuffix(end) else { return nil }
        let path = text.dropLast(end.utf8.count)
        if path == "/dev/zero" { return String(path) }
        return path.hasPrefix("/memfd:") ? String(path.dropFirst("/memfd:".utf8.count)) : nil
    }

    /// An area that was unmapped meanwhile is passed over: another look finds what is there then.
    private func take(_ area: MemoryArea, of pid: Int32, _ name: String, knownSize: Int?) throws(SystemError) {
        let path =
            "/proc/\(pid)/map_files/\(String(area.start, radix: 16))-\(String(area.end, radix: 16))"
        let raw = open(path, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { return }
        let file = OwnedDescriptor(taking: raw)
        var status = stat()
        guard fstat(file.raw, &status) == 0, UInt64(status.st_ino) == area.inode, status.st_size > 0 else { return }
        let size = Int(status.st_size)
        if let knownSize, size <= knownSize { return }
        let length = (size + pageSize - 1) / pageSize * pageSize
        let address = try Self.map(file.raw, length, path)
        let seals = fcntl(file.raw, 1034 /* F_GET_SEALS */)
        let object = SharedObject(
            space: SpaceID(next), base: UInt64(UInt(bitPattern: address)), bytes: ByteCount(size), inode: area.inode, name: name,
            isSealable: seals >= 0 && seals != 1 /* F_SEAL_SEAL */, owner: status.st_uid, group: status.st_gid)
        next += 1
        // The smaller one of before is void.
        objects.removeAll { $0.object.inode == area.inode && $0.object.segment == nil }
        objects.append(Mapped(object: object, file: OwnedFile(file, address, length)))
    }

    /// Objects that are still as large as they were: frozen, those whose pages the last pass can send whole.
    public func unchanged() -> [SharedObject] {
        let segments = self.segments?.present(among: known) ?? []
        return segments
            + objects.filter { mapped in
                var status = stat()
                return mapped.object.segment == nil && fstat(mapped.file.descriptor.raw, &status) == 0
                    && Int(status.st_size) == mapped.object.bytes.rawValue
            }.map(\.object)
    }

    /// What to read of one object: all that is there, and what was there before.
    public struct Pass: Sendable {
        public var space: SpaceID
        public var memory: RemoteMemory
        public var runs: [PageRun]
    }

    /// A pass over some objects.
    public func pass(_ wanted: [SharedObject]) -> [Pass] {
        let spaces = Set(wanted.map(\.space))
        var all: [Pass] = []
        for index in objects.indices where spaces.contains(objects[index].object.space) {
            let mapped = objects[index]
            let runs = Self.merged(mapped.known + Self.data(in: mapped.file.descriptor, mapped.object))
            objects[index].known = runs
            all.append(Pass(space: mapped.object.space, memory: memory, runs: runs))
        }
        return all
    }

    /// Pages that were ever written, by SEEK_DATA and SEEK_HOLE; reading a hole would fill it.
    private static func data(in file: borrowing OwnedDescriptor, _ object: SharedObject) -> [PageRun] {
        var runs: [PageRun] = []
        var offset = 0
        while offset < object.bytes.rawValue {
            let start = Int(lseek(file.raw, off_t(offset), 3 /* SEEK_DATA */))
            guard start >= 0, start < object.bytes.rawValue else { break }
            let hole = Int(lseek(file.raw, off_t(start), 4 /* SEEK_HOLE */))
            let end = hole > start ? hole : object.bytes.rawValue
            let first = start / pageSize, last = (min(end, object.bytes.rawValue) + pageSize - 1) / pageSize
            runs.append(PageRun(start: object.base + UInt64(first * pageSize), count: last - first))
            offset = last * pageSize
        }
        return runs
    }

    /// Sorted, and none twice.
    static func merged(_ runs: [PageRun]) -> [PageRun] {
        var merged: [PageRun] = []
        for run in runs.sorted(by: { $0.start < $1.start }) {
            if let last = merged.last, run.start <= last.end {
                let end = max(last.end, run.end)
                merged[merged.count - 1].count = Int(end - last.start) / pageSize
            } else {
                merged.append(run)
            }
        }
        return merged
    }
}
