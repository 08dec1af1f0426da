import Glibc
import Host
import Testing

@testable import Containers

@Suite("Files in memory before the freeze", .tags(.root))
struct PageCacheTests {
    /// Bytes of a file that are in memory, by fincore(1).
    private func cached(_ space: Workspace, _ name: String) throws -> Int {
        Int(try space.shell("fincore -n -b -o RES \(name)").filter(\.isNumber)) ?? 0
    }

    /// - Returns: whether the file's pages went; on a tmpfs they can't.
    private func evict(_ space: Workspace, _ name: String) throws -> Bool {
        try space.shell(
            "dd if=/dev/urandom of=\(name) bs=1M count=3 status=none; sync \(name); dd if=\(name) iflag=nocache count=0 status=none"
        )
        return try cached(space, name) < 1 << 20
    }

    @Test func `programs are read whole, of other files what CRIU looks at, and never anything outside the root`() throws {
        let space = try Workspace("cache")
        try space.shell(
            "mkdir -p root/lib outside; ln -s \(space.at("outside/data")) root/lib/link; ln -s program root/lib/name; mkfifo root/lib/fifo"
        )
        for name in ["root/lib/program", "root/lib/data", "outside/data"] {
            guard try evict(space, name) else { return }
        }
        PageCache.read(
            [
                MappedFile(path: "/lib/name", isProgram: true), MappedFile(path: "/lib/data", isProgram: false),
                MappedFile(path: "/lib/link", isProgram: true), MappedFile(path: "/../outside/data", isProgram: true),
                MappedFile(path: "/lib/fifo", isProgram: true), MappedFile(path: "/lib/absent (deleted)", isProgram: true),
            ], inRoot: space.at("root"))
        #expect(try cached(space, "root/lib/program") == 3 << 20)
        let part = try cached(space, "root/lib/data")
        #expect(part >= 1 << 20, "the kernel may read ahead")
        #expect(try cached(space, "outside/data") < 1 << 20)
    }

    @Test func `a process's files are told once each, and read by their mappings`() throws {
        let map = MemoryMap(
            """
            00400000-00500000 r--p 00000000 fe:00 11 /usr/bin/thing
            00500000-00600000 r-xp 00100000 fe:00 11 /usr/bin/thing
            00700000-00800000 r--s 00000000 fe:00 12 /data/table
            7f0000000000-7f0000100000 rw-p 00000000 00:00 0
            7f0000200000-7f0000300000 rw-s 00000000 00:01 5 /memfd:x (deleted)
            7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0 [stack]

            """)
        #expect(
            PageCache.files(map).map(\.file) == [
                MappedFile(path: "/usr/bin/thing", isProgram: true), MappedFile(path: "/data/table", isProgram: false),
            ])
        PageCache.read(mappedBy: [getpid(), 1 << 30])  // whatever happens there, it never fails
    }
}
