import Glibc
import Testing

@testable import Containers
@testable import Host

@Suite("Where a bundle may go")
struct BundlePlaceTests {
    @Test(arguments: [
        ("/srv/web", true), ("/var/lib/containers/web", true), ("/run/bundles/a", true), ("/data/a/b", true),
        ("/home/me/bundle", true), ("/bundle", true),
        ("/", false), ("", false), ("relative/path", false), ("/srv/../etc", false), ("/srv/./x", false), ("/srv//x", false),
        ("/srv/x/", false),
        ("/etc", false), ("/etc/cron.d/x", false), ("/usr/bin", false), ("/var", false), ("/var/lib", false), ("/home", false),
        ("/root", false),
        ("/proc/1/root/x", false), ("/sys/x", false), ("/dev/shm/x", false), ("/run/systemd/x", false), ("/run/runc/x", false),
        ("/var/lib/martlet/bundles/x", false),
        ("/srv/zero\0byte", false),
    ])
    func `a path is acceptable or not`(_ path: String, _ expected: Bool) { #expect(BundlePlace.isAcceptable(path) == expected) }

    @Test(
        arguments: [
            (.init(kind: .absent), .create),
            (.init(kind: .emptyFolder), .create),
            (.init(kind: .folder, recorded: "web"), .reuse),
            (.init(kind: .folder, recorded: "other"), .refuse(.recordedFor("other"))),
            (.init(kind: .folder, recorded: "other", sameConfiguration: true), .refuse(.recordedFor("other"))),
            (.init(kind: .folder, sameConfiguration: true), .reuseUnrecorded),
            (.init(kind: .folder, sameConfiguration: false), .refuse(.foreign)),
            (.init(kind: .folder), .refuse(.foreign)),
            (.init(kind: .folder, recorded: "web", usedBy: "db"), .refuse(.usedBy("db"))),
            (.init(kind: .folder, sameConfiguration: true, usedBy: "db"), .refuse(.usedBy("db"))),
            (.init(kind: .other), .refuse(.notAFolder)),
            (.init(kind: .absent, forbidden: true), .refuse(.forbiddenPath)),
        ] as [(BundlePlace.Sight, BundlePlace.Judgement)])
    func `what stands there decides`(_ sight: BundlePlace.Sight, _ expected: BundlePlace.Judgement) {
        #expect(BundlePlace.judge(sight, id: "web") == expected)
    }
}

@Suite("Making and removing a bundle's place", .tags(.root))
struct BundleKeeperTests {
    private func keeper(_ space: Workspace) -> BundleKeeper { BundleKeeper(records: space.at("records")) }

    @Test func `undo removes what was made with its contents, and the parents that it made`() throws {
        let space = try Workspace("made")
        try space.make("old")
        let keeper = keeper(space), made = try keeper.make(space.at("old/new/bundle"))
        #expect(made.filled == space.at("old/new/bundle") && made.folders.count == 2)
        try space.shell(
            "cd old/new/bundle; mkdir -p a/b; echo x > a/b/f; ln -s / root; mkfifo p; chattr +i a/b/f 2>/dev/null && chattr -i a/b/f; true"
        )
        #expect(keeper.undo(made).isEmpty)
        #expect(try space.shell("find . | sort") == ".\n./old\n")
        #expect(keeper.undo(made).isEmpty)
    }

    @Test func `a folder that existed stays as it is`() throws {
        let space = try Workspace("existed")
        try space.write("file", "mine")
        let keeper = keeper(space), made = try keeper.make(space.path)
        #expect(made.filled == nil && made.folders.isEmpty)
        keeper.undo(made)
        #expect(try space.read("file") == "mine")
    }

    @Test func `what is mounted inside survives`() throws {
        let space = try Workspace("mounted")
        try space.shell("mkdir precious; echo data > precious/file; echo f > single")
        let keeper = keeper(space), made = try keeper.make(space.at("bundle"))
        try space.shell(
            "mkdir -p bundle/root/in; echo x > bundle/root/plain; touch bundle/one; mount --bind precious bundle/root/in; mount --bind single bundle/one"
        )
        defer { _ = try? Spawn.run("umount", [space.at("bundle/root/in"), space.at("bundle/one")]) }
        #expect(keeper.undo(made) == [space.at("bundle")])
        #expect(try space.read("precious/file") == "data\n" && space.read("single") == "f\n")
        #expect(!FileIO.exists(space.at("bundle/root/plain")))
        try space.shell("umount bundle/root/in bundle/one")
        #expect(keeper.undo(made).isEmpty)
        #expect(!FileIO.exists(space.at("bundle")))
    }

    @Test func `another folder at the same path is left alone`() throws {
        let space = try Workspace("exchanged")
        let keeper = keeper(space), made = try keeper.make(space.at("bundle"))
        try space.shell("mv bundle elsewhere; mkdir bundle; echo mine > bundle/file")
        #expect(keeper.undo(made) == [space.at("bundle")])
        #expect(try space.read("bundle/file") == "mine\n")
    }

    @Test func `a recorded home is recognized, through links and with odd names`() throws {
        let space = try Workspace("recorded")
        let keeper = keeper(space)
        try space.shell("mkdir -p 'real/odd name ü'; echo c > 'real/odd name ü/config.json'; ln -s real link")
        let path = space.at("real/odd name ü")
        #expect(
            BundlePlace.judge(keeper.sight(path, configuration: Array("other".utf8), users: [:]), id: "web") == .refuse(.foreign))
        try keeper.record(path, container: "web")
        #expect(BundlePlace.judge(keeper.sight(space.at("link/odd name ü"), configuration: nil, users: [:]), id: "web") == .reuse)
        #expect(
            BundlePlace.judge(keeper.sight(path, configuration: nil, users: [path: "db"]), id: "web") == .refuse(.usedBy("db")))
        #expect(
            BundlePlace.judge(keeper.sight(path, configuration: nil, users: [path + "/rootfs": "db"]), id: "web")
                == .refuse(.usedBy("db")))
        keeper.forget(path)
        #expect(
            BundlePlace.judge(keeper.sight(path, configuration: Array("c\n".utf8), users: [:]), id: "web") == .reuseUnrecorded)
    }

    @Test func `a link into the system is forbidden`() throws {
        let space = try Workspace("link")
        try space.shell("ln -s /etc link")
        #expect(keeper(space).sight(space.at("link/martlet-bundle"), configuration: nil, users: [:]).forbidden)
        #expect(keeper(space).sight(space.at("absent/too"), configuration: nil, users: [:]).kind == .absent)
    }
}
