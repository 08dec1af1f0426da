import Testing

@testable import Containers
@testable import Host

@Suite("A container's own tmpfs") struct TmpfsTests {
    private static let shm =
        "60 50 0:80 / /dev/shm rw,nosuid,nodev,noexec - tmpfs shm rw,size=65536k,nr_inodes=2k,mode=1777,huge=within_size,inode64\n"

    private func survey(
        _ mounts: String, config: String = "{}", more: String = "", othersMount: Bool = false
    ) throws -> TmpfsSurvey {
        let text = """
            {"mounts": [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                        {"destination": "/dev//shm/", "type": "tmpfs", "source": "shm"}\(more)], "linux": \(config)}
            """
        let bundle = try OCIBundle(path: "/b", configuration: Array(text.utf8))
        return TmpfsSurvey(config: bundle.config, mounts: MountInfo.parse(Array(mounts.utf8).span), othersMount: othersMount)
    }

    @Test func `its limits are read and asked for again, with room while it is filled`() throws {
        let found = try #require(try survey(Self.shm).carried.first)
        #expect(
            found == CarriedTmpfs(point: "/dev/shm", source: "shm", sizeKiB: 65536, inodes: 2000, huge: .withinSize))
        #expect(found.options(roomy: false) == "size=65536k,nr_inodes=2000,huge=within_size")
        #expect(found.options(roomy: true) == "size=147456k,nr_inodes=3000,huge=within_size")
        #expect(CarriedTmpfs(point: "/x", source: "s").options(roomy: true) == "")
    }

    @Test(arguments: [
        ("", #"{"namespaces": [{"type": "user"}]}"#, false, "user namespace"),
        ("", "{}", true, "mount namespace of its own"),
        ("61 60 0:81 / /dev/shm rw - tmpfs x rw\n", "{}", false, "over it"),
        ("61 60 0:81 / /dev/shm/in rw - tmpfs x rw\n", "{}", false, "in it"),
        ("61 50 0:80 / /elsewhere rw - tmpfs shm rw\n", "{}", false, "second place"),
    ])
    func `one that can't be carried is left to CRIU, and why is said`(
        more: String, config: String, othersMount: Bool, why: String
    ) throws {
        let found = try survey(Self.shm + more, config: config, othersMount: othersMount)
        #expect(found.carried.isEmpty)
        #expect(found.imaged.map(\.point) == ["/dev/shm"] && found.imaged[0].why.contains(why), "\(found)")
    }

    @Test func `what is shared with others, or something else than was configured, is left to CRIU`() throws {
        let shared = Self.shm.replacing(" - tmpfs", with: " shared:4 - tmpfs")
        #expect(try survey(shared).imaged.count == 1)
        #expect(try survey(Self.shm.replacing("0:80 /", with: "0:80 /part")).imaged.count == 1)
        #expect(try survey(Self.shm.replacing("tmpfs shm", with: "ext4 /dev/sda")).imaged.count == 1)
    }

    @Test func `binds, read-only ones and such as are not mounted are nobody's concern`() throws {
        let more = """
            , {"destination": "/bound", "type": "tmpfs", "source": "/x", "options": ["bind"]},
              {"destination": "/read", "type": "tmpfs", "source": "x", "options": ["ro"]},
              {"destination": "/away", "type": "tmpfs", "source": "x"}
            """
        let mounts =
            "62 50 0:82 / /bound rw - tmpfs x rw\n63 50 0:83 / /read ro - tmpfs x rw\n64 50 0:84 / /dev rw - tmpfs x rw\n"
        let found = try survey(Self.shm + mounts, more: more)
        #expect(found.carried.map(\.point) == ["/dev/shm"] && found.imaged.isEmpty)
    }

    @Test func `a peer's word is not taken for everything`() {
        #expect(CarriedTmpfs(point: "/dev/shm", source: "shm").isSound)
        #expect(!CarriedTmpfs(point: "dev/shm", source: "shm").isSound)
        #expect(!CarriedTmpfs(point: "/dev/shm", source: "shm", sizeKiB: 0).isSound)
        #expect(!CarriedTmpfs(point: "/dev/shm", source: "shm", sizeKiB: .max).isSound)
    }
}

/// Its files: what no time tells of.
@Suite("Files on a tmpfs", .tags(.root)) struct ComparedFilesTests {
    /// A store into a mapping that is gone before anybody looks.
    private static func store(_ path: String, at offset: Int) -> String {
        "python3 -c 'import mmap; f = open(\"\(path)\", \"r+b\"); m = mmap.mmap(f.fileno(), 0); m[\(offset)] = 120; m.close()'"
    }

    @Test(arguments: [false, true]) func `a store through a mapping that is gone arrives`(watching: Bool) throws {
        let make =
            "dd if=/dev/urandom of=large bs=1M count=3 status=none; printf 0123456789 > small; touch empty; ln -s large link"
        var sync = try NativeSync("tmpfs", make, watching: watching, below: "/dev/shm", compared: true)
        let hasNews = sync.native.hasNews
        #expect(hasNews)
        let from = sync.space.at("from")
        try sync.space.shell(Self.store("\(from)/large", at: 1_500_000))
        try sync.pass()
        try sync.space.shell(Self.store("\(from)/large", at: 2_500_000) + "; " + Self.store("\(from)/small", at: 3))
        try sync.finish()
    }

    @Test func `rsync, which does the rest, compares them too`() throws {
        var sync = try NativeSync("tmpfs-rsync", "printf 0123456789 > small", below: "/dev/shm", compared: true)
        try sync.pass()
        try sync.space.shell(Self.store("\(sync.space.at("from"))/small", at: 3))
        try sync.finishByRsync()
    }

    @Test func `an empty one is no news`() throws {
        let sync = try NativeSync("tmpfs-empty", "true", below: "/dev/shm", compared: true)
        let hasNews = sync.native.hasNews
        #expect(!hasNews)
    }
}
