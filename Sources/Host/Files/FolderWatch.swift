import Glibc

/// Names of files in one folder that were closed after writing; inotify(7).
public struct FolderWatch: ~Copyable, Sendable {
    private let queue: OwnedDescriptor

    public init(folder: String) throws(SystemError) {
        let flags = Int32(IN_CLOEXEC | IN_NONBLOCK)
        let made = OwnedDescriptor(taking: Int32(try checkErrno("inotify_init1", folder, Int(inotify_init1(flags)))))
        _ = try checkErrno("inotify_add_watch", folder, Int(inotify_add_watch(made.raw, folder, UInt32(IN_CLOSE_WRITE))))
        queue = made
    }

    /// Readable when a file was closed.
    public var descriptor: Int32 { queue.raw }

    /// The names that came so far, oldest first, without waiting. Where the kernel's queue ran over some are missing: whoever
    /// needs all of them looks into the folder at the end.
    public borrowing func take() -> [String] {
        var names: [String] = []
        withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 8) { buffer in
            while true {
                let n = Glibc.read(queue.raw, buffer.baseAddress, buffer.count)
                guard n > 0 else { return }
                Self.parse(UnsafeRawBufferPointer(rebasing: buffer[..<n]), &names)
            }
        }
        return names
    }

    /// struct inotify_event: i32 watch, u32 kinds, u32 cookie, u32 length, name with zeros.
    private static func parse(_ bytes: UnsafeRawBufferPointer, _ names: inout [String]) {
        var at = 0
        while at + 16 <= bytes.count {
            let length = Int(bytes.loadUnaligned(fromByteOffset: at + 12, as: UInt32.self))
            guard at + 16 + length <= bytes.count else { return }
            let name = bytes[at + 16..<at + 16 + length].prefix { $0 != 0 }
            if !name.isEmpty { names.append(String(decoding: name, as: UTF8.self)) }
            at += 16 + length
        }
    }
}
