import Host
import Model
import Testing

@testable import Containers

@Suite struct DumpInputTests {
    static let maps = """
        00400000-00500000 r-xp 00000000 08:01 77                                 /bin/x
        01000000-01010000 rw-p 00000000 00:00 0                                  [heap]
        7f0000000000-7f0000100000 rw-p 00000000 00:00 0
        7f0000200000-7f0000300000 rw-p 00000000 00:00 0
        7f0000400000-7f0000500000 rw-s 00000000 00:01 5                          /dev/zero (deleted)
        7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
        7ffc00100000-7ffc00102000 r-xp 00000000 00:00 0                          [vdso]

        """

    @Test func `private anonymous areas are hidden but for locked ones and stack pointers' pages`() {
        let ranges = HiddenRanges.of(
            MemoryMap(Self.maps), locked: [0x7f00_0020_0000..<0x7f00_0030_0000],
            stackPointers: [0x7ffc_0002_0888, 0x7f00_0000_0010])
        #expect(
            ranges == [
                0x0100_0000..<0x0101_0000, 0x7f00_0000_1000..<0x7f00_0010_0000,
                0x7ffc_0000_0000..<0x7ffc_0002_0000,
            ])
    }

    @Test func `data of plain files is hidden when it travels by itself`() {
        let maps = """
            00400000-00401000 r-xp 00001000 08:01 17                                 /usr/bin/program
            00402000-00404000 rw-p 00002000 08:01 17                                 /usr/bin/program
            7f0000000000-7f0000001000 r--p 00000000 08:01 18                         /usr/lib/libc.so.6
            7f0000002000-7f0000003000 rw-p 00000000 08:01 19                         /tmp/gone (deleted)
            7f0000004000-7f0000005000 rw-p 00000000 00:01 20                         /memfd:name
            7f0000006000-7f0000007000 rw-p 00000000 00:06 21                         /dev/zero
            7f0000008000-7f0000009000 rw-s 00000000 08:01 22                         /tmp/shared

            """
        let map = MemoryMap(maps)
        #expect(HiddenRanges.of(map, locked: [], stackPointers: []).isEmpty)
        #expect(
            HiddenRanges.of(map, locked: [], stackPointers: [], files: true)
                == [0x0040_2000..<0x0040_4000, 0x7f00_0000_0000..<0x7f00_0000_1000])
    }

    @Test func `pages that a dump shall have are taken out of what is hidden from it`() {
        let ranges: [Range<UInt64>] = [0x1000..<0x5000, 0x5000..<0x8000, 0xa000..<0xb000]
        func left(_ runs: [PageRun]) -> [Range<UInt64>] { HiddenRanges.of(ranges, without: runs) }
        #expect(left([]) == ranges)
        #expect(left([PageRun(start: 0x2000, count: 1)]) == [0x1000..<0x2000, 0x3000..<0x5000, ranges[1], ranges[2]])
        // One run over the border of two areas, and further than the hidden memory.
        #expect(left([PageRun(start: 0x4000, count: 2)]) == [0x1000..<0x4000, 0x6000..<0x8000, ranges[2]])
        #expect(left([PageRun(start: 0x7000, count: 16)]) == [ranges[0], 0x5000..<0x7000])
        // At the edges, in the gap, before and behind.
        #expect(
            left([PageRun(start: 0, count: 2), PageRun(start: 0x8000, count: 2), PageRun(start: 0xb000, count: 1)])
                == [0x2000..<0x5000, ranges[1], ranges[2]])
        #expect(left([PageRun(start: 0, count: 32)]).isEmpty)
    }

    static let smaps = """
        01000000-01008000 rw-p 00000000 00:00 0                                  [heap]
        Size:                 32 kB
        VmFlags: rd wr mr mw me ac sd
        7f0000000000-7f0000300000 rw-p 00000000 00:00 0
        Rss:                  32 kB
        VmFlags: rd wr mr mw me lo ac
        7ffc00100000-7ffc00102000 r-xp 00000000 00:00 0                          [vdso]
        VmFlags: rd ex mr mw me de

        """

    @Test func `smaps is rebuilt from today's headers and yesterday's flags`() throws {
        let today = """
            01000000-01010000 rw-p 00000000 00:00 0                                  [heap]
            7f0000000000-7f0000100000 rw-p 00000000 00:00 0
            7f0000200000-7f0000300000 rw-p 00000000 00:00 0
            7ffc00100000-7ffc00102000 r-xp 00000000 00:00 0                          [vdso]

            """
        let rebuilt = try #require(SmapsSnapshot(Array(Self.smaps.utf8)).rebuilt(maps: Array(today.utf8)))
        #expect(
            String(decoding: rebuilt, as: UTF8.self) == """
                01000000-01010000 rw-p 00000000 00:00 0                                  [heap]
                VmFlags: rd wr mr mw me ac sd
                7f0000000000-7f0000100000 rw-p 00000000 00:00 0
                VmFlags: rd wr mr mw me lo ac
                7f0000200000-7f0000300000 rw-p 00000000 00:00 0
                VmFlags: rd wr mr mw me lo ac
                7ffc00100000-7ffc00102000 r-xp 00000000 00:00 0                          [vdso]
                VmFlags: rd ex mr mw me de

                """)
    }

    @Test(arguments: [
        "7f0000900000-7f0000a00000 rw-p 00000000 00:00 0",  // new
        "7f0000000000-7f0000300000 r--p 00000000 00:00 0",  // protected otherwise
        "rubbish",
    ])
    func `an area of which nothing is known makes the copy useless`(_ line: String) {
        #expect(SmapsSnapshot(Array(Self.smaps.utf8)).rebuilt(maps: Array((line + "\n").utf8)) == nil)
    }

    @Test func `locked areas are told`() {
        #expect(SmapsSnapshot(Array(Self.smaps.utf8)).locked == [0x7f00_0000_0000..<0x7f00_0030_0000])
    }

    @Test func `streams become keys, descriptors and blockers`() {
        let streams = StandardStreams([
            .inside, .hostFile(key: "file[52:1f]", path: "/data/x.log", writes: true),
            .hostFile(key: "file[52:1f]", path: "/data/x.log", writes: true),
        ])
        #expect(streams.externalKeys == ["file[52:1f]"])
        #expect(streams.inherited == [.init(key: "file[52:1f]", number: 1)])
        #expect(streams.blockers.isEmpty)
        let others = StandardStreams([.terminal("/dev/pts/0"), .pipe(key: "pipe:[77]", writes: true), .closed])
        #expect(String(decoding: others.descriptorsFile, as: UTF8.self) == #"["/dev/null","pipe:[77]","/dev/null"]"#)
        #expect(others.blockers.count == 1)
    }
}
