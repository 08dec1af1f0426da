import CLinux
import Glibc

/// The kernel's word of every change in whole file systems: fanotify(7) with names.
///
/// Linux 5.9 for names, CAP_SYS_ADMIN. A mark on the file system sees changes through every mount of it, those of other mount
/// namespaces too, and costs the writers a queue entry each; equal ones are merged. What it doesn't tell: stores into mapped
/// files, writes by libaio, and writes of the kernel itself (loop devices); a file that was open for writing is told when
/// it's closed (FAN_CLOSE_WRITE), for the last time after its last mapping is gone. Without the kernel's help
/// (EXDEV, EOPNOTSUPP, EINVAL) `add` fails and whoever watches must look at the whole tree instead.
public struct FilesystemWatch: ~Copyable, Sendable {
    private let group: OwnedDescriptor

    public init() throws(SystemError) {
        group = OwnedDescriptor(taking: Int32(try check("fanotify_init", "", linux_fanotify_names())))
    }

    /// The group's descriptor, readable when something changed.
    public var descriptor: Int32 { group.raw }

    /// Kinds of changes, as the kernel numbers them.
    public struct Kinds: OptionSet, Sendable, Hashable {
        public var rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        public static let modify = Kinds(rawValue: LINUX_FAN_MODIFY)
        public static let attributes = Kinds(rawValue: LINUX_FAN_ATTRIB)
        public static let closeWrite = Kinds(rawValue: LINUX_FAN_CLOSE_WRITE)
        public static let movedFrom = Kinds(rawValue: LINUX_FAN_MOVED_FROM)
        public static let movedTo = Kinds(rawValue: LINUX_FAN_MOVED_TO)
        public static let create = Kinds(rawValue: LINUX_FAN_CREATE)
        public static let delete = Kinds(rawValue: LINUX_FAN_DELETE)
        static let overflow = Kinds(rawValue: LINUX_FAN_OVERFLOW)
        static let folders = Kinds(rawValue: LINUX_FAN_ONDIR)
        /// A name came or went.
        public static let names: Kinds = [.movedFrom, .movedTo, .create, .delete]
        /// Content may have changed.
        public static let content: Kinds = [.modify, .closeWrite]
    }

    /// Watches the file system that holds an open folder.
    public borrowing func add(folder: Int32, path: String) throws(SystemError) {
        let kinds: Kinds = [.modify, .attributes, .closeWrite, .names, .folders]
        try check("fanotify_mark", path, linux_fanotify_filesystem(group.raw, kinds.rawValue, folder))
    }

    /// Where something changed.
    public enum Report {
        /// `folder`: the folder's handle as `FileHandle` gives it. `name`: `.` for the folder itself; no terminator.
        case changed(folder: UnsafeRawBufferPointer, name: UnsafeRawBufferPointer, Kinds)
        /// Something without a name, or changes were lost: nothing is known any more.
        case overflow
    }

    /// Takes what has happened so far, without waiting.
    /// - Parameter buffer: for raw events; 64 KiB is good.
    public borrowing func read(_ buffer: inout [UInt8], _ report: (Report) -> Void) throws(SystemError) {
        while true {
            let room = buffer.count
            let raw = group.raw
            let n = buffer.withUnsafeMutableBytes { bytes in retrying { Glibc.read(raw, bytes.baseAddress!, room) } }
            if n < 0 && errno == EAGAIN { return }
            let filled = try checkErrno("read", "fanotify", n)
            if filled == 0 { return }
            buffer.withUnsafeBytes { Self.parse(UnsafeRawBufferPointer(rebasing: $0[..<filled]), report) }
        }
    }

    /// struct fanotify_event_metadata: u32 length, u8 version, u8, u16 header's length, u64 kinds, i32 descriptor, i32 pid;
    /// then records of a u8 type, u8, u16 length.
    static func parse(_ bytes: UnsafeRawBufferPointer, _ report: (Report) -> Void) {
        var at = 0
        while at + 24 <= bytes.count {
            let length = Int(bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
            let header = Int(bytes.loadUnaligned(fromByteOffset: at + 6, as: UInt16.self))
            let kinds = Kinds(rawValue: bytes.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self))
            guard length >= 24, header >= 24, at + length <= bytes.count else { return report(.overflow) }
            let event = UnsafeRawBufferPointer(rebasing: bytes[(at + header)..<(at + length)])
            if kinds.contains(.overflow) || !parseRecords(event, kinds, report) { report(.overflow) }
            at += length
        }
    }

    /// The record with a folder and a name: type 2, fsid (8 bytes), u32 handle's length, i32 handle's type, handle, name, zeros.
    /// - Returns: false if there is none and the change can't be told.
    private static func parseRecords(_ event: UnsafeRawBufferPointer, _ kinds: Kinds, _ report: (Report) -> Void) -> Bool {
        var at = 0
        while at + 4 <= event.count {
            let length = Int(event.loadUnaligned(fromByteOffset: at + 2, as: UInt16.self))
            guard length >= 20, at + length <= event.count else { return false }
            let record = UnsafeRawBufferPointer(rebasing: event[at..<(at + length)])
            at += length
            guard record[0] == 2 else { continue }
            let handle = Int(record.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
            guard 20 + handle <= length else { return false }
            let tail = record[(20 + handle)...]
            let name = tail.prefix { $0 != 0 }
            // The file system's number stands before the handle's length, its type behind it: `FileHandle` has the same order.
            withUnsafeTemporaryAllocation(byteCount: 12 + handle, alignment: 8) { key in
                key.copyMemory(from: UnsafeRawBufferPointer(rebasing: record[4..<12]))
                UnsafeMutableRawBufferPointer(rebasing: key[8...]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: record[16..<(20 + handle)]))
                report(.changed(folder: UnsafeRawBufferPointer(key), name: UnsafeRawBufferPointer(rebasing: name), kinds))
            }
            return true
        }
        // A file's own change of its attributes without a name is the fall of its link count: its names are told by themselves.
        return kinds.intersection([.modify, .closeWrite, .names]).isEmpty
    }
}

/// A file's number that outlives its names: name_to_handle_at(2), with the file system's number before it.
public enum FileHandle {
    /// - Parameters:
    ///   - filesystem: of `filesystem(of:)`.
    ///   - path: relative to the folder, zero-terminated; the folder itself if it is empty.
    /// - Returns: nil where the file system has none, or the file is gone.
    public static func of(_ path: UnsafePointer<CChar>, in folder: Int32, filesystem: UInt64) -> [UInt8]? {
        withUnsafeTemporaryAllocation(byteCount: 140, alignment: 8) { buffer in
            buffer.storeBytes(of: filesystem, as: UInt64.self)
            let length = linux_file_handle(folder, path, buffer.baseAddress!.assumingMemoryBound(to: UInt8.self) + 8)
            return length < 0 ? nil : Array(buffer[..<(8 + length)])
        }
    }

    /// Number and magic number (statfs(2)) of the file system that holds an open file.
    public static func filesystem(of descriptor: Int32) throws(SystemError) -> (id: UInt64, type: UInt64) {
        var id: UInt64 = 0, type: UInt64 = 0
        try check("fstatfs", "descriptor \(descriptor)", linux_filesystem(descriptor, &id, &type))
        return (id, type)
    }
}
