import CLinux
import Glibc
import Host
public import Model

/// The shared memory of a container that is on its way: made at the destination as what it will be, filled in place, and given
/// to CRIU when it restores. Neither copies it.
public final class SharedStore: Sendable {
    private struct State {
        /// By number at the source.
        var files: [Key: SharedDescriptor] = [:]
        var room: SegmentRoom?
        var spaces: [SpaceID: SharedObject] = [:]
    }
    /// A segment and a memfd may have the same number.
    private struct Key: Hashable {
        var isSegment: Bool
        var number: UInt64
        init(_ object: SharedObject) { (isSegment, number) = (object.segment != nil, object.inode) }
    }
    private let state = Monitor(State())

    /// Longest wait for the description of an object whose pages came first, over another connection.
    private static let patience = Duration.seconds(30)
    /// The most that a source may ask for, so that it can't be mistaken about a size.
    private static let mostBytes = 1 << 40

    public init() {}

    /// Takes descriptions; equal ones may come again. Of an object that has grown what came before stays.
    public func describe(_ objects: [SharedObject]) throws(StoreError) {
        for object in objects {
            guard object.space.isShared, object.bytes.rawValue > 0, object.bytes.rawValue <= Self.mostBytes,
                object.base % UInt64(pageSize) == 0, object.name.utf8.count < 250,
                object.segment.map({ $0.id >= 0 && UInt64($0.id) == object.inode }) ?? true
            else { throw .shared("an object of \(object.bytes) at \(object.base)") }
            try state.withLock { state throws(StoreError) in
                if state.spaces[object.space] != nil { return }
                let file: SharedDescriptor
                if let segment = object.segment {
                    file = try Self.make(segment, object, &state)
                } else if let known = state.files[Key(object)] {
                    file = known
                } else {
                    file = try Self.make(object)
                }
                guard ftruncate(file.raw, off_t(object.bytes.rawValue)) == 0 else {
                    throw .system(SystemError(call: "ftruncate", subject: "memfd \(object.name)", errno: errno))
                }
                state.files[Key(object)] = file
                state.spaces[object.space] = object
            }
        }
    }

    private static func make(
        _ segment: SharedObject.Segment, _ object: SharedObject, _ state: inout State
    ) throws(StoreError) -> SharedDescriptor {
        do throws(SystemError) {
            let room: SegmentRoom
            if let known = state.room { room = known } else { room = try SegmentRoom() }
            state.room = room
            return try room.make(segment, bytes: object.bytes.rawValue)
        } catch { throw .system(error) }
    }

    private static func make(_ object: SharedObject) throws(StoreError) -> SharedDescriptor {
        // MFD_CLOEXEC, MFD_ALLOW_SEALING
        let raw = linux_memfd_create(object.name, 1 | (object.isSealable ? 2 : 0))
        guard raw >= 0 else { throw .system(SystemError(call: "memfd_create", subject: object.name, errno: Int32(-raw))) }
        return SharedDescriptor(OwnedDescriptor(taking: Int32(raw)))
    }

    /// Writes pages where they belong.
    public func land(_ space: SpaceID, address: UInt64, _ bytes: UnsafeRawBufferPointer) throws(StoreError) {
        let (file, offset) = try place(space, address, bytes.count)
        var done = 0
        while done < bytes.count {
            let n = pwrite(file.raw, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
            guard n > 0 else { throw .system(SystemError(call: "pwrite", subject: "shared memory", errno: n < 0 ? errno : EIO)) }
            done += n
        }
    }

    /// Pages that read as zeros take no memory.
    public func landZero(_ space: SpaceID, _ run: PageRun) throws(StoreError) {
        let (file, offset) = try place(space, run.start, run.byteCount)
        let result = linux_punch_hole(file.raw, offset, run.byteCount)
        guard result >= 0 else { throw .system(SystemError(call: "fallocate", subject: "shared memory", errno: Int32(-result))) }
    }

    /// What is held of a page, for `PageMark.differing`; of an object that nobody described nothing.
    public func mark(_ space: SpaceID, _ address: UInt64, seed: UInt64) -> UInt64 {
        let found: (SharedObject, SharedDescriptor)? = state.withLock { state in
            guard let object = state.spaces[space], let file = state.files[Key(object)] else { return nil }
            return (object, file)
        }
        guard let (object, file) = found, address >= object.base else { return PageMark.unknown }
        return withUnsafeTemporaryAllocation(byteCount: pageSize, alignment: 16) { page in
            page.initializeMemory(as: UInt8.self, repeating: 0)
            // What lies beyond the end is zero.
            let n = pread(file.raw, page.baseAddress, pageSize, off_t(address - object.base))
            return n < 0 ? PageMark.unknown : PageMark.of(UnsafeRawPointer(page.baseAddress!), seed: seed)
        }
    }

    /// A page may reach over the end of an object whose size is no multiple of it: what is beyond is zero, and is cut off again
    /// by `seal`.
    private func place(_ space: SpaceID, _ address: UInt64, _ count: Int) throws(StoreError) -> (SharedDescriptor, Int) {
        let found: (SharedObject, SharedDescriptor)? = state.wait(until: .now + Self.patience) { state in
            guard let object = state.spaces[space], let file = state.files[Key(object)] else { return nil }
            return (object, file)
        }
        guard let (object, file) = found else { throw .shared("pages came of an object that nobody described") }
        let most = (object.bytes.rawValue + pageSize - 1) / pageSize * pageSize
        guard address >= object.base, address - object.base <= UInt64(most), Int(address - object.base) + count <= most else {
            throw .shared("pages beyond the end of an object of \(object.bytes)")
        }
        return (file, Int(address - object.base))
    }

    /// The objects as CRIU gets them.
    public struct Sealed: Sendable, Equatable {
        /// Numbers at the source, and our descriptors.
        public var files: [File] = []
        public var segments: [SharedObject] = []
        /// The IPC namespace of the segments; nil where there are none.
        public var namespace: Int32?

        public struct File: Sendable, Equatable {
            public var inode: UInt64
            public var descriptor: Int32
        }
    }

    /// - Parameter wanted: what the source left out of its dump.
    public func seal(_ wanted: [SharedObject]) throws(StoreError) -> Sealed {
        try describe(wanted)
        return try state.withLock { state throws(StoreError) in
            var sealed = Sealed()
            for object in wanted {
                guard let file = state.files[Key(object)] else { throw .shared("an object is missing") }
                guard ftruncate(file.raw, off_t(object.bytes.rawValue)) == 0 else {
                    throw .system(SystemError(call: "ftruncate", subject: "memfd \(object.name)", errno: errno))
                }
                if object.segment != nil {  // owner and mode are set by the restore
                    sealed.segments.append(object)
                    continue
                }
                guard fchown(file.raw, object.owner, object.group) == 0 else {
                    throw .system(SystemError(call: "fchown", subject: "memfd \(object.name)", errno: errno))
                }
                sealed.files.append(Sealed.File(inode: object.inode, descriptor: file.raw))
            }
            guard let room = state.room else { return sealed }
            // One that went since would be there again, and stand in the way of a new one.
            do throws(SystemError) { try room.keep(Set(sealed.segments.compactMap { $0.segment?.id })) } catch {
                throw .system(error)
            }
            if !sealed.segments.isEmpty { sealed.namespace = room.descriptor }
            return sealed
        }
    }

    /// Everything is restored, and frozen: segments that were removed already go with their last process again, which CRIU doesn't
    /// see to; what is here of the namespace is let go.
    public func restored(_ objects: [SharedObject]) throws(StoreError) {
        let room = state.withLock { state in
            defer { state.room = nil }
            return state.room
        }
        let doomed = objects.compactMap(\.segment).filter(\.isDoomed).map(\.id)
        guard let room, !doomed.isEmpty else { return }
        do throws(SystemError) { try room.doom(doomed) } catch { throw .system(error) }
    }
}
