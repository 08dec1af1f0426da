import CLinux
import Glibc
import Host
import Model
import Testing

@testable import Pages

/// Shared memory of this process, found and read as a container's would be, and landed in a store beside it.
@Suite(.tags(.root)) struct SharedMemoryTests {
    /// A memfd with a name of its own that is mapped here.
    private final class Object {
        let name: String
        let file: OwnedDescriptor
        private(set) var memory: UnsafeMutableRawPointer
        private(set) var bytes: Int

        init(_ name: String, bytes: Int, flags: UInt32 = 1) throws {
            self.name = "\(name)-\(UInt32.random(in: .min ... .max))"
            self.bytes = bytes
            file = OwnedDescriptor(taking: Int32(linux_memfd_create(self.name, flags)))
            #expect(ftruncate(file.raw, off_t(bytes)) == 0)
            memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.raw, 0)
        }
        deinit { munmap(memory, bytes) }

        func grow(to bytes: Int) {
            munmap(memory, self.bytes)
            #expect(ftruncate(file.raw, off_t(bytes)) == 0)
            memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.raw, 0)
            self.bytes = bytes
        }

        func fill(_ page: Int, _ value: UInt8) { memset(memory + page * pageSize, Int32(value), pageSize) }
    }

    private let source: SharedMemory
    private let store = SharedStore()

    init() throws { source = try SharedMemory { () throws(SystemError) in [getpid()] } }

    private func known(_ object: Object) -> SharedObject? { source.known.first { $0.name == object.name } }

    /// What `SourceMemory` and `StoreSink` do between them.
    private func carry(_ object: SharedObject) throws {
        try store.describe([object])
        for pass in source.pass([object]) {
            var gone: [PageRun] = []
            for run in pass.runs {
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: run.byteCount, alignment: pageSize)
                defer { buffer.deallocate() }
                try pass.memory.read([run], into: buffer, vanished: &gone)
                try store.land(pass.space, address: run.start, UnsafeRawBufferPointer(buffer))
            }
            #expect(gone == [])
        }
    }

    private func content(of descriptor: Int32) throws -> [UInt8] {
        var status = stat()
        #expect(fstat(descriptor, &status) == 0)
        var bytes = [UInt8](repeating: 0xee, count: Int(status.st_size))
        #expect(pread(descriptor, &bytes, bytes.count, 0) == bytes.count)
        return bytes
    }

    private func expectEqual(_ object: Object, _ wanted: SharedObject, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let given = try #require(try store.seal([wanted]).files.first)
        #expect(given.inode == wanted.inode)
        let due = [UInt8](UnsafeRawBufferPointer(start: object.memory, count: object.bytes))
        #expect(try content(of: given.descriptor) == due, sourceLocation: sourceLocation)
    }

    @Test func `what is written by mapping, by write, and punched arrives`() throws {
        let object = try Object("stores", bytes: 40 * pageSize)
        for page in [0, 3, 4, 39] { object.fill(page, UInt8(page + 1)) }
        #expect(try source.look())
        let first = try #require(known(object))
        #expect(first.space.isShared && first.bytes.rawValue == object.bytes && !first.isSealable)
        try carry(first)
        try expectEqual(object, first)

        object.fill(17, 99)
        let page = [UInt8](repeating: 7, count: pageSize)
        #expect(pwrite(object.file.raw, page, pageSize, off_t(20 * pageSize)) == pageSize)
        #expect(linux_punch_hole(object.file.raw, 3 * pageSize, pageSize) == 0)
        #expect(try !source.look(), "nothing new")
        #expect(source.unchanged().contains(first))
        try carry(first)
        try expectEqual(object, first)
    }

    @Test func `an object that grew is another one, and the old one isn't sealed`() throws {
        let object = try Object("grows", bytes: 4 * pageSize, flags: 3)
        object.fill(1, 1)
        #expect(try source.look())
        let small = try #require(known(object))
        #expect(small.isSealable)
        try carry(small)
        object.grow(to: 9 * pageSize)
        object.fill(8, 8)
        #expect(!source.unchanged().contains(small))
        #expect(try source.look())
        let large = try #require(known(object))
        #expect(large.space != small.space && large.inode == small.inode && large.bytes.rawValue == 9 * pageSize)
        #expect(!source.known.contains(small))
        try carry(large)
        try expectEqual(object, large)
    }

    @Test func `a size that is no whole pages stays`() throws {
        let object = try Object("odd", bytes: 2 * pageSize + 100)
        memset(object.memory, 5, object.bytes)
        #expect(try source.look())
        let wanted = try #require(known(object))
        try carry(wanted)
        try expectEqual(object, wanted)
    }

    @Test func `a page of zeros takes no memory at the destination`() throws {
        let object = SharedObject(
            space: SpaceID(SharedObject.firstSpace), base: 0x10000, bytes: ByteCount(64 * pageSize), inode: 1, name: "x",
            isSealable: false)
        try store.describe([object])
        let page = [UInt8](repeating: 1, count: pageSize)
        try page.withUnsafeBytes { try store.land(object.space, address: 0x10000, $0) }
        let file = try #require(try store.seal([object]).files.first).descriptor
        var status = stat()
        #expect(fstat(file, &status) == 0 && status.st_blocks > 0)
        try store.landZero(object.space, PageRun(start: 0x10000, count: 64))
        #expect(fstat(file, &status) == 0 && status.st_blocks == 0)
    }

    @Test(arguments: [0x10000 - 4096, 0x10000 + 64 * 4096, 0x10000 + 63 * 4096])
    func `pages beyond an object are refused`(address: Int) throws {
        let object = SharedObject(
            space: SpaceID(SharedObject.firstSpace), base: 0x10000, bytes: ByteCount(64 * pageSize), inode: 1, name: "x",
            isSealable: false)
        try store.describe([object])
        let pages = [UInt8](repeating: 1, count: 2 * pageSize)
        #expect(throws: StoreError.self) {
            try pages.withUnsafeBytes { try store.land(object.space, address: UInt64(address), $0) }
        }
    }

    @Test func `descriptions that can't be are refused`() {
        for object in [
            SharedObject(space: SpaceID(7), base: 0, bytes: ByteCount(1), inode: 1, name: "x", isSealable: false),
            SharedObject(
                space: SpaceID(SharedObject.firstSpace), base: 5, bytes: ByteCount(1), inode: 1, name: "x", isSealable: false),
            SharedObject(
                space: SpaceID(SharedObject.firstSpace), base: 0, bytes: ByteCount(0), inode: 1, name: "x", isSealable: false),
            SharedObject(
                space: SpaceID(SharedObject.firstSpace), base: 0, bytes: ByteCount(1 << 50), inode: 1, name: "x",
                isSealable: false),
        ] {
            #expect(throws: StoreError.self) { try store.describe([object]) }
        }
    }

    @Test(arguments: [
        ("/memfd:stamps (deleted)", "stamps"), ("/memfd:/dev/zero (deleted)", "/dev/zero"), ("/dev/zero (deleted)", "/dev/zero"),
        ("/SYSV000a03f5 (deleted)", nil), ("/dev/shm/PostgreSQL.1", nil), ("/dev/shm/x (deleted)", nil), ("", nil),
    ])
    func `names tell what travels`(_ path: String, _ name: String?) { #expect(SharedMemory.memfdName(path) == name) }
}
