import Glibc
@testable import Host
import Testing

/// Parsers of /proc, on texts as kernels write them.
@Suite struct ProcParserTests {
    static let maps = """
        55d0c0a00000-55d0c0a02000 r--p 00000000 fe:01 1835021                    /usr/bin/cat
        55d0c0a02000-55d0c0a07000 r-xp 00002000 fe:01 1835021                    /usr/bin/cat
        55d0c2c6b000-55d0c2c8c000 rw-p 00000000 00:00 0                          [heap]
        7f1c40000000-7f1c40021000 rw-p 00000000 00:00 0 
        7f1c44000000-7f1c44001000 rw-s 00000000 00:01 4098                       /dev/zero (deleted)
        7f1c44001000-7f1c44002000 rw-s 00000000 00:01 12                         /memfd:pool (deleted)
        7f1c44002000-7f1c44003000 rw-s 00001000 fe:01 77                         /srv/with blank
        7f1c44003000-7f1c44004000 ---p 00000000 00:00 0                          [anon:guard]
        7f1c44004000-7f1c44005000 rw-s 00000000 00:0f 9                          anon_inode:[io_uring]
        7f1c44200000-7f1c44400000 rw-p 00000000 00:10 5                          /anon_hugepage (deleted)
        7ffd2b1c4000-7ffd2b1e5000 rw-p 00000000 00:00 0                          [stack]
        7ffd2b1f0000-7ffd2b1f4000 r--p 00000000 00:00 0                          [vvar]
        7ffd2b1f4000-7ffd2b1f6000 r-xp 00000000 00:00 0                          [vdso]
        ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]

        """

    @Test func `each kind of area is known by its line`() {
        let map = MemoryMap(Self.maps)
        #expect(
            map.areas.map(\.kind) == [
                .filePrivate, .filePrivate, .anonymous, .anonymous, .sharedMemory, .sharedMemory, .fileShared, .anonymous,
                .device, .hugeTLB,
                .anonymous, .vvar, .vdso, .vsyscall,
            ])
        #expect(map.areas.filter(\.isPrivateAnonymous).map(map.name(of:)) == ["[heap]", "", "[anon:guard]", "[stack]"])
    }

    @Test func `the fields of an area`() {
        let map = MemoryMap(Self.maps)
        let code = map.areas[1]
        #expect(code.start == 0x55d0_c0a0_2000)
        #expect(code.end == 0x55d0_c0a0_7000)
        #expect(code.protection == [.read, .execute])
        #expect(code.offset == 0x2000)
        #expect(code.device == 0xfe << 20 | 1)
        #expect(code.inode == 1_835_021)
        #expect(map.areas[6].protection == [.read, .write, .shared])
        #expect(map.name(of: map.areas[6]) == "/srv/with blank")
        #expect(map.area(holding: 0x55d0_c0a0_2fff) == code)
        #expect(map.area(holding: 0x1000) == nil)
        #expect(map.first(named: "[vdso]")?.byteCount == 0x2000)
    }

    @Test func `filling a map again forgets what was there`() {
        var map = MemoryMap(Self.maps)
        map.parse(Array("1000-2000 rw-p 00000000 00:00 0 \n".utf8).span)
        #expect(map.areas.count == 1)
        #expect(map.name(of: map.areas[0]) == "")
    }

    @Test(arguments: [
        "", "garbage\n", "1000-", "2000-1000 rw-p 0 00:00 0\n", "1000-2000 rw-p 0", "\n\n\n",
        "fffffffffffffffff-1 rw-p 0 0:0 0\n",
    ])
    func `broken lines of maps are left out`(_ text: String) { #expect(MemoryMap(text).areas.isEmpty) }

    @Test func `flags and sizes of smaps`() {
        let text = """
            55d0c2c6b000-55d0c2c8c000 rw-p 00000000 00:00 0                          [heap]
            Size:                132 kB
            Rss:                   8 kB
            Swap:                  4 kB
            VmFlags: rd wr mr mw me ac sd 
            7f1c44000000-7f1c44001000 rw-p 00000000 00:00 0 
            Rss:                   0 kB
            VmFlags: rd wr lo uw gu zz

            """
        let details = AreaDetails.parse(Array(text.utf8).span)
        #expect(
            details == [
                AreaDetails(
                    start: 0x55d0_c2c6_b000, end: 0x55d0_c2c8_c000, flags: [.readable, .writable, .softDirty], resident: 8192,
                    swapped: 4096),
                AreaDetails(
                    start: 0x7f1c_4400_0000, end: 0x7f1c_4400_1000,
                    flags: [.readable, .writable, .locked, .userfaultWriteProtect, .guarded],
                    resident: 0, swapped: 0),
            ])
    }

    @Test func `a command may hold blanks and parentheses`() throws {
        let text =
            "4242 (a) (b c)) S 1 4242 4242 0 -1 4194560 93 0 0 0 1 2 0 0 20 0 7 0 123456 2490368 200 18446744073709551615 1 1\n"
        let parsed = ProcessStat(Array(text.utf8).span)
        let stat = try #require(parsed)
        #expect(stat.pid == 4242)
        #expect(stat.command == "a) (b c)")
        #expect(stat.state == .sleeping)
        #expect(stat.parent == 1)
        #expect(stat.threadCount == 7)
        #expect(stat.startTime == 123_456)
        #expect(!stat.hasEnded)
    }

    @Test(arguments: ["", "12", "12 (x", "12 (x) ", "12 (x) S 1 2"]) func `a stat line that is cut off is refused`(_ text: String)
    {
        let parsed = ProcessStat(Array(text.utf8).span)
        #expect(parsed == nil)
    }

    @Test func `identity, signals and rights of a status file`() {
        let text = """
            Name:\tredis server
            Umask:\t0022
            State:\tS (sleeping)
            Tgid:\t77
            Pid:\t78
            PPid:\t1
            TracerPid:\t9
            Uid:\t1000\t1001\t1002\t1003
            Gid:\t5\t6\t7\t8
            NSpid:\t78\t12\t1
            Threads:\t4
            SigPnd:\t0000000000000001
            ShdPnd:\t0000000000004000
            SigBlk:\tffffffffffffffff
            CapEff:\t000001ffffffffff
            NoNewPrivs:\t1
            Seccomp:\t2
            Seccomp_filters:\t3

            """
        let status = ProcessStatus(Array(text.utf8).span)
        #expect(status.name == "redis server")
        #expect(status.threadGroup == 77 && status.pid == 78 && status.parent == 1 && status.tracer == 9)
        #expect(status.userIDs == [1000, 1001, 1002, 1003])
        #expect(status.namespacePIDs == [78, 12, 1])
        #expect(status.innermostPID == 1)
        #expect(status.pendingSignals == 1 && status.sharedPendingSignals == 0x4000 && status.blockedSignals == .max)
        #expect(status.effectiveCapabilities == 0x1ff_ffff_ffff)
        #expect(status.noNewPrivileges && status.seccomp == .filter && status.seccompFilterCount == 3)
    }

    @Test func `what a thread does in the kernel`() {
        func parse(_ text: String) -> ThreadSystemCall? { ThreadSystemCall(Array(text.utf8).span) }
        #expect(parse("running\n") == .running)
        #expect(
            parse("-1 0x7ffc1000 0x7f00\n")
                == .blocked(number: nil, arguments: [], stackPointer: 0x7ffc_1000, programCounter: 0x7f00))
        #expect(
            parse("230 0x0 0x1 0x2 0x3 0x4 0x5 0x7ffc2000 0x7f11\n")
                == .blocked(number: 230, arguments: [0, 1, 2, 3, 4, 5], stackPointer: 0x7ffc_2000, programCounter: 0x7f11))
        #expect(parse("230 0x0 0x1\n") == nil)
        #expect(parse("") == nil)
    }

    @Test func `mounts with odd names and propagation`() {
        let text = """
            36 35 98:0 /mnt1 /mnt/with\\040blank rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue
            40 36 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
            broken line

            """
        let mounts = MountInfo.parse(Array(text.utf8).span)
        #expect(mounts.count == 2)
        #expect(
            mounts[0]
                == MountInfo(
                    id: 36, parent: 35, device: 98 << 20, root: "/mnt1", mountPoint: "/mnt/with blank",
                    options: ["rw", "noatime"],
                    propagation: ["shared:1", "master:2"], type: "ext3", source: "/dev/root",
                    superOptions: ["rw", "errors=continue"]))
        #expect(mounts[1].propagation.isEmpty && mounts[1].type == "cgroup2")
    }

    @Test func `memberships, sizes and lists of numbers`() {
        let groups = ProcFS.parseCgroups(Array("6:freezer:/a\n1:name=systemd:/b:c\n0::/user.slice\n".utf8).span)
        #expect(groups.map(\.path) == ["/a", "/b:c", "/user.slice"])
        #expect(groups.map(\.isUnified) == [false, false, true])
        #expect(groups[0].controllers == ["freezer"])
        let memory = ProcFS.parseMemoryInfo(Array("MemTotal:       24 kB\nHugePages_Total:       3\nbroken\n".utf8).span)
        #expect(memory == ["MemTotal": 24 << 10, "HugePages_Total": 3])
        #expect(ProcFS.parseNumbers(Array("12\n7 9\n".utf8).span) == [12, 7, 9])
    }

    @Test(arguments: [
        ("populated 1\nfrozen 1\n", Cgroup.Version.v2, true), ("populated 1\nfrozen 0\n", .v2, false), ("FROZEN\n", .v1, true),
        ("FREEZING\n", .v1, false), ("", .v2, false),
    ])
    func `the state of a freezer`(_ text: String, _ version: Cgroup.Version, _ frozen: Bool) {
        let isFrozen = CgroupFreezer.isFrozen(Array(text.utf8).span, version)
        #expect(isFrozen == frozen)
    }

    @Test func `our own files are read`() throws {
        let stat = try ProcessStat.of(pid: getpid())
        #expect(!stat.hasEnded)
        #expect(try ProcessStatus.of(pid: getpid()).pid == getpid())
        #expect(try MemoryMap.of(pid: getpid()).first(named: "[vdso]") != nil)
        #expect(try ProcFS.threads(of: getpid()).contains(getpid()))
        #expect(try !MountInfo.ofSelf().isEmpty)
        #expect(try ProcFS.executable(of: getpid()).hasSuffix(".xctest"))
        #expect(try ProcFS.memoryInfo()["MemTotal"] ?? 0 > 0)
        // The leader, unless it waits for the disk in this moment.
        let live = try #require(try ProcFS.liveThread(of: getpid()))
        #expect(try live.thread == getpid() || ProcessStat.of(pid: getpid()).state != .sleeping, "\(live)")
    }
}
