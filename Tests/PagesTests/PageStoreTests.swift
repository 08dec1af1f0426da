import Glibc
import Host
import Model
import Testing
@testable import Pages

struct PageStoreTests {
    private let space = SpaceID(3)
    private let base: UInt64 = 0x7f00_0000_0000

    private func store(_ capacity: ByteCount = .mebibytes(64)) throws -> PageStore {
        try PageStore(kind: .memory, capacity: capacity)
    }
    private func run(_ first: Int, _ count: Int) -> PageRun { PageRun(start: base + UInt64(first * pageSize), count: count) }
    private func address(_ page: Int) -> UInt64 { base + UInt64(page * pageSize) }
    private func land(_ store: PageStore, _ first: Int, _ count: Int, value: UInt8) throws {
        let bytes = [UInt8](repeating: value, count: count * pageSize)
        try bytes.withUnsafeBytes { try store.land(space, address: address(first), $0) }
    }
    private func value(_ store: PageStore, _ page: Int) -> UInt8? {
        store.content(space, address(page)).map { content in
            let bytes = UnsafeRawBufferPointer(start: content, count: pageSize)
            return bytes.allSatisfy { $0 == bytes[0] } ? bytes[0] : 255
        }
    }

    @Test func `what is known of several spaces comes in one look, in runs`() throws {
        let store = try PageStore(kind: .memory, capacity: .mebibytes(64))
        let mine = SpaceID(3).ofFiles, other = SpaceID(3)
        let page = [UInt8](repeating: 7, count: pageSize * 70)
        // Over the bounds of words and chunks.
        try page.withUnsafeBytes { try store.land(mine, address: UInt64(60 * pageSize), $0) }
        try store.landZero(mine, PageRun(start: UInt64(130 * pageSize), count: 2))
        try store.landZero(mine, PageRun(start: UInt64(511 * pageSize), count: 2))
        try store.setLive(mine, [PageRun(start: UInt64(63 * pageSize), count: 65), PageRun(start: 0, count: 1)])
        try page.withUnsafeBytes { try store.land(other, address: 0, $0) }
        let known = store.known(where: \.isOfFiles)
        #expect(Array(known.keys) == [mine])
        #expect(
            known[mine]?.stored == [
                PageRun(start: UInt64(60 * pageSize), count: 72), PageRun(start: UInt64(511 * pageSize), count: 2),
            ])
        #expect(known[mine]?.live == [PageRun(start: 0, count: 1), PageRun(start: UInt64(63 * pageSize), count: 65)])
        #expect(mine.ofProcess == other && !other.isOfFiles && mine.isOfFiles && !SpaceID(0xc800_0001).isOfFiles)
    }

    @Test func `a later round lands over an earlier one`() throws {
        let store = try store()
        try land(store, 0, 4, value: 1)
        try land(store, 1, 2, value: 2)
        #expect((0..<5).map { value(store, $0) } == [1, 2, 2, 1, nil])
        #expect(store.statistics.stored == PageCount(4))
    }

    @Test func `runs may span chunks`() throws {
        let store = try store()
        try land(store, 500, 1100, value: 7)
        #expect([499, 500, 511, 512, 1023, 1024, 1599, 1600].map { value(store, $0) } == [nil, 7, 7, 7, 7, 7, 7, nil])
        #expect(store.statistics.chunks == 4)
    }

    @Test func `a page that became zero again is zero, and one that was written after it is not`() throws {
        let store = try store()
        try land(store, 0, 8, value: 1)
        try store.landZero(space, run(2, 3))
        #expect((0..<8).map { value(store, $0) } == [1, 1, nil, nil, nil, 1, 1, 1])
        #expect((0..<8).map { store.isZero(space, address($0)) } == [false, false, true, true, true, false, false, false])
        #expect((0..<8).allSatisfy { store.has(space, address($0)) })
        try land(store, 3, 1, value: 9)
        #expect(value(store, 3) == 9 && !store.isZero(space, address(3)))
        #expect(store.statistics.stored == PageCount(6))
        #expect(store.statistics.zero == PageCount(2))
    }

    @Test func `zero pages take no memory`() throws {
        let store = try store(.mebibytes(2))
        try store.landZero(space, run(0, 1 << 16))
        #expect(store.statistics.zero == PageCount(1 << 16))
        var status = stat()
        fstat(store.dataDescriptor, &status)
        #expect(status.st_blocks == 0)
    }

    @Test func `what is live but neither stored nor zero is missing`() throws {
        let store = try store()
        try land(store, 10, 10, value: 1)
        try store.landZero(space, run(30, 5))
        try store.setLive(space, [run(8, 4), run(19, 3), run(30, 6), run(510, 4)])
        #expect(store.missingLive(space) == [run(8, 2), run(20, 2), run(35, 1), run(510, 4)])
        try land(store, 511, 2, value: 1)
        #expect(store.missingLive(space) == [run(8, 2), run(20, 2), run(35, 1), run(510, 1), run(513, 1)])
        #expect(store.statistics.missing == PageCount(7))
        #expect(store.missingLive(SpaceID(4)).isEmpty)
    }

    @Test func `a new live set replaces the old one, and an addition adds`() throws {
        let store = try store()
        try store.setLive(space, [run(0, 4)])
        try store.setLive(space, [run(2, 4)])
        try store.addLive(space, [run(8, 1)])
        #expect((0..<10).filter { store.isLive(space, address($0)) } == [2, 3, 4, 5, 8])
    }

    @Test func `content that isn't live is given back`() throws {
        let store = try store()
        try land(store, 0, 2048, value: 1)
        try store.setLive(space, [run(0, 5)])
        store.releaseNotLive(space)
        #expect(store.statistics.stored == PageCount(5))
        #expect(value(store, 4) == 1 && value(store, 5) == nil && value(store, 1000) == nil)
    }

    @Test func `a dropped space leaves nothing, and its room is used again`() throws {
        let store = try store(.mebibytes(8))
        for round in 1...10 {
            let space = SpaceID(UInt32(round))
            let bytes = [UInt8](repeating: UInt8(round), count: 8 << 20)
            try bytes.withUnsafeBytes { try store.land(space, address: base, $0) }
            store.drop(space)
            #expect(!store.has(space, base) && store.statistics.stored == .zero)
        }
    }

    @Test func `spaces don't see each other`() throws {
        let store = try store()
        try land(store, 0, 1, value: 1)
        #expect(store.content(SpaceID(4), base) == nil)
        #expect(store.spaces == [space])
    }

    @Test func `more than the capacity is refused, and what was there stays`() throws {
        let store = try store(.mebibytes(4))
        try land(store, 0, 1024, value: 1)
        #expect(throws: StoreError.full(stored: .mebibytes(4), limit: .mebibytes(4), kernel: nil)) {
            try land(store, 2000, 1, value: 2)
        }
        try land(store, 0, 1024, value: 3)  // over what is stored: takes no more room
        #expect(value(store, 1023) == 3 && value(store, 2000) == nil)
    }

    @Test(arguments: [
        (UInt64(1), 4096, UInt32(1)), (0, 100, 1), (0, 4096, 0), (0, 4096, 1 << 28), (UInt64.max - 4095, 4096, 1),
        (1 << 57, 4096, 1),
    ])
    func `what isn't whole pages of a user's address space is refused`(address: UInt64, count: Int, space: UInt32) throws {
        let store = try store()
        let bytes = [UInt8](repeating: 1, count: count)
        #expect(throws: StoreError.badRun(space: SpaceID(space), address: address, byteCount: count)) {
            try bytes.withUnsafeBytes { try store.land(SpaceID(space), address: address, $0) }
        }
    }

    @Test func `a run longer than any address space is refused`() throws {
        let store = try store()
        #expect(throws: StoreError.self) { try store.landZero(space, PageRun(start: 0, count: .max)) }
        #expect(throws: StoreError.self) { try store.landZero(space, PageRun(start: 0, count: -1)) }
        // One that is legal but larger than the index: an error, not a loop without end.
        #expect(throws: StoreError.self) { try store.landZero(space, PageRun(start: 0, count: 1 << 44)) }
    }

    @Test func `several threads land at once`() throws {
        let store = try store(.mebibytes(512))
        let threads = try (0..<4).map { number in
            try Host.Thread(named: "land-\(number)") {
                // Every thread has its pages in every chunk.
                for chunk in 0..<60 {
                    let pages = Stamp.runs(128, process: 0) { _ in true }.map {
                        PageRun(start: $0.start + UInt64(chunk * 512 + number * 128) * 4096, count: $0.count)
                    }
                    do { try Stamp.land(store, SpaceID(1), pages) } catch { Issue.record(error) }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(store.statistics.stored == PageCount(60 * 512))
        let page = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { page.deallocate() }
        var wrong = 0
        for number in 0..<(60 * 512) {
            let address = Stamp.base(0) + UInt64(number * 4096)
            Stamp.write(address, into: page)
            let content = try #require(store.content(SpaceID(1), address))
            if memcmp(content, page, 4096) != 0 { wrong += 1 }
        }
        #expect(wrong == 0)
    }

    @Test func `another holder of the descriptors sees everything at once`() throws {
        let first = try store()
        try land(first, 0, 600, value: 5)
        let data = OwnedDescriptor(taking: fcntl(first.dataDescriptor, F_DUPFD_CLOEXEC, 0))
        let index = OwnedDescriptor(taking: fcntl(first.indexDescriptor, F_DUPFD_CLOEXEC, 0))
        let second = try PageStore(adoptingData: data, index: index)
        #expect(value(second, 599) == 5)
        try land(first, 1000, 1, value: 6)
        try first.setLive(space, [run(0, 1), run(2000, 1)])
        #expect(value(second, 1000) == 6)
        #expect(second.missingLive(space) == [run(2000, 1)])
        try land(second, 2000, 1, value: 7)
        #expect(value(first, 2000) == 7)
        #expect(first.statistics == second.statistics)
    }

    @Test func `descriptors that hold no store are refused`() throws {
        func some() throws -> OwnedDescriptor { try OwnedDescriptor(opening: "/dev/zero", flags: O_RDWR) }
        #expect(throws: StoreError.self) { _ = try PageStore(adoptingData: try some(), index: try some()) }
        let good = try store()
        #expect(throws: StoreError.self) {
            let index = OwnedDescriptor(taking: fcntl(good.indexDescriptor, F_DUPFD_CLOEXEC, 0))
            _ = try PageStore(adoptingData: try some(), index: index)
        }
    }

    @Test(.tags(.root)) func `a full tmpfs is an error, not a crash, and what landed stays`() throws {
        let folder = Folder()
        #expect(mount("martlet-test", folder.path, "tmpfs", 0, "size=8m") == 0)
        defer { umount2(folder.path, 2) }
        let store = try PageStore(kind: .tmpfs(folder.path), capacity: .mebibytes(64))
        var landed = 0
        let error = #expect(throws: StoreError.self) {
            while landed < 64 << 8 {
                try land(store, landed, 64, value: 1)
                landed += 64
            }
        }
        guard case .full(_, _, let kernel?) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(kernel.errno == ENOSPC)
        #expect(landed > 1000, "\(landed) pages")
        #expect((0..<landed).allSatisfy { value(store, $0) == 1 })
        #expect(store.statistics.stored == PageCount(landed))
        store.drop(space)
        try land(store, 0, 64, value: 2)  // room again
    }

    @Test func `a spill folder keeps no name and works as memory does`() throws {
        let folder = Folder()
        let store = try PageStore(kind: .spill(folder.path), capacity: .mebibytes(64))
        try land(store, 0, 1024, value: 4)
        #expect(value(store, 1023) == 4)
        #expect(try Spawn.run("ls", ["-A", folder.path]).output.isEmpty)
        #expect(throws: StoreError.self) { _ = try PageStore(kind: .spill(folder.path + "/none"), capacity: .mebibytes(1)) }
    }

    // MARK: budget

    @Test func `memory is taken if it suffices, then disk, then nothing`() throws {
        let budget = StoreBudget(memoryAvailable: .gibibytes(2), spillAvailable: .gibibytes(10))
        #expect(try budget.kind(for: .gibibytes(1), spillFolder: "/s") == .memory)
        #expect(try budget.kind(for: .gibibytes(2), spillFolder: "/s") == .spill("/s"))
        #expect(throws: StoreError.self) { try budget.kind(for: .gibibytes(2)) }
        let error = #expect(throws: StoreError.self) { try budget.kind(for: .gibibytes(20), spillFolder: "/s") }
        let text = "\(try #require(error))"
        #expect(text.contains("21568 MB needed") && text.contains("2048 MB") && text.contains("10240 MB"))
    }

    @Test func `the host's figures are plausible`() throws {
        let budget = try StoreBudget(spillFolder: "/tmp")
        #expect(budget.memoryAvailable > .mebibytes(16))
        #expect((budget.spillAvailable ?? .zero) > .mebibytes(16))
        #expect(throws: StoreError.self) { try StoreBudget(spillFolder: "/nonexistent") }
    }
}
