import Glibc
import Model
import Testing

@testable import Host
@testable import Pages

@Suite("System V segments") struct SegmentTests {
    @Test func `the kernel's list is read`() {
        let text = """
                   key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap
              19809          3   640               1048476   391   391      1    33    34     0     0 1763775738          0 1763775738               1048576                     0
                  0      32772  1600                  4096   391   391      1     0     0     0     0 1763775738          0 1763775738                  4096                     0
            -559038737     5   600  8192  1 1 0 0 0 0 0 0 0 0 0 0
            """
        let lines = SharedSegments.parse(Array(text.utf8))
        #expect(
            lines.first
                == SharedSegments.Line(key: 19809, id: 3, mode: 0o640, bytes: 1_048_476, owner: 33, group: 34))
        #expect(lines.map(\.isDoomed) == [false, true, false] && lines.map(\.key) == [19809, 0, -559_038_737])
        #expect(SharedSegments.parse([]).isEmpty)
    }

    private func segment(_ number: Int32, _ space: UInt32, pages: Int, key: Int32 = 0, isDoomed: Bool = false) -> SharedObject {
        SharedObject(
            space: SpaceID(SharedObject.firstSpace + space), base: 0x10000, bytes: ByteCount(pages * pageSize - 10),
            inode: UInt64(number), name: "", isSealable: false, segment: .init(id: number, key: key, isDoomed: isDoomed))
    }

    /// What is in a namespace: lines, and the first byte of each segment.
    private func look(_ namespace: Int32) throws -> [(line: SharedSegments.Line, first: UInt8, bytes: Int)] {
        let copy = SharedDescriptor(OwnedDescriptor(taking: dup(namespace)))
        let lines = try Host.Thread.run(named: "look") { () -> [(SharedSegments.Line, UInt8, Int)] in
            guard let raw = try? copy.duplicate(), (try? Namespaces.enter(raw, .ipc)) != nil else { return [] }
            return ((try? SharedSegments.list()) ?? []).map { line in
                var byte: UInt8 = 0
                guard let file = try? SharedSegments.open(line.id, bytes: line.bytes, writing: false) else { return (line, 0, 0) }
                pread(file.raw, &byte, 1, 0)
                return (line, byte, Int(lseek(file.raw, 0, SEEK_END)))
            }
        }
        return lines.map { (line: $0.0, first: $0.1, bytes: $0.2) }.sorted { $0.line.id < $1.line.id }
    }

    @Test(.tags(.root)) func `they are made with their numbers, filled, and those that went are not there`() throws {
        let store = SharedStore()
        let one = segment(7, 0, pages: 2, key: 0x99), gone = segment(40000, 1, pages: 1)
        let memfd = SharedObject(
            space: SpaceID(SharedObject.firstSpace + 3), base: 0x10000, bytes: ByteCount(pageSize), inode: 7, name: "same number",
            isSealable: false)
        var removed = segment(65_538, 2, pages: 1, key: 5)
        try store.describe([one, gone, removed, memfd])
        let page = [UInt8](repeating: 9, count: pageSize)
        for object in [one, removed] { try page.withUnsafeBytes { try store.land(object.space, address: 0x10000, $0) } }
        try page.withUnsafeBytes { try store.land(one.space, address: 0x10000 + UInt64(pageSize), $0) }
        // Removed at the source since: its key is void.
        removed.segment = .init(id: 65_538, key: 0, isDoomed: true)
        let sealed = try store.seal([one, removed, memfd])
        #expect(sealed.files.map(\.inode) == [7] && sealed.segments == [one, removed])
        let namespace = try #require(sealed.namespace)
        let held = OwnedDescriptor(taking: dup(namespace))
        let found = try look(held.raw)
        #expect(found.map(\.line.id) == [7, 65_538] && found.map(\.line.key) == [0x99, 5] && found.map(\.first) == [9, 9])
        #expect(found.map(\.bytes) == [2 * pageSize - 10, pageSize - 10])
        try store.restored([one, removed, memfd])
        #expect(try look(held.raw).map(\.line.id) == [7])
    }

    @Test(.tags(.root)) func `another segment of the same number takes the place of the one before`() throws {
        let store = SharedStore()
        try store.describe([segment(7, 0, pages: 1, key: 1)])
        let other = segment(7, 1, pages: 3, key: 2)
        let namespace = try #require(try store.seal([other]).namespace)
        #expect(try look(namespace).map(\.bytes) == [3 * pageSize - 10])
    }

    @Test(.tags(.root)) func `those of a container are found, attached or not, and left as they are`() throws {
        var spawn = Spawn(
            "unshare", ["-i", "sh", "-c", "ipcmk -M 10000 >/dev/null && ipcmk -M 5000 >/dev/null && exec sleep 100"])
        spawn.newSession = true
        let child = try spawn.start()
        defer {
            _ = try? child.kill(SIGKILL)
            _ = try? child.wait()
        }
        let pid = child.pid
        let memory = try #require(SegmentSource(pid: pid) ?? waited(for: pid))
        let deadline = MonotonicInstant.now + .seconds(10)
        while memory.new(besides: []).count < 2 && deadline.remaining > .zero { sleepThread(.milliseconds(20)) }
        let shared = try SharedMemory(processes: { [] }, init: pid)
        #expect(try shared.look())
        #expect(try !shared.look())
        #expect(shared.known.map(\.bytes.rawValue).sorted() == [5000, 10000] && shared.unchanged() == shared.known)
        let first = try #require(shared.known.first?.segment)
        _ = try Spawn.run("nsenter", ["-i", "-t", "\(pid)", "ipcrm", "-m", "\(first.id)"])
        #expect(shared.unchanged().map(\.segment?.id) == shared.known.map(\.segment?.id).filter { $0 != first.id })
    }

    /// `unshare` has not come to its namespace yet.
    private func waited(for pid: Int32) -> SegmentSource? {
        let deadline = MonotonicInstant.now + .seconds(10)
        while deadline.remaining > .zero {
            if let source = SegmentSource(pid: pid) { return source }
            sleepThread(.milliseconds(10))
        }
        return nil
    }
}
