import Glibc
import Testing

@testable import Containers
@testable import Host
import Model

@Suite("Snapshots of file trees", .tags(.root))
struct TreeSnapshotTests {
    /// Takes a snapshot of which nothing is fresh.
    private func settled(_ space: Workspace) throws -> TreeSnapshot {
        let view = try FolderView(path: space.path)
        let deadline = MonotonicInstant.now + .seconds(20)
        while true {
            let snapshot = try TreeSnapshot.take(of: view)
            let again = try TreeSnapshot.take(of: view)
            if again.difference(since: snapshot).isEmpty { return snapshot }
            try #require(MonotonicInstant.now < deadline, "the tree never settled")
        }
    }

    private func difference(_ space: Workspace, since old: TreeSnapshot, mapped: Set<FileIdentity> = []) throws -> TreeDifference
    {
        let view = try FolderView(path: space.path)
        return try TreeSnapshot.take(of: view).difference(since: old, mapped: mapped)
    }

    @Test(
        arguments: [
            ("content", "echo more >> a/file", ["a/file"], []),
            (
                "content of the same length and time",
                "touch -r a/file /dev/shm/ref-$$; printf X | dd of=a/file conv=notrunc status=none; touch -r /dev/shm/ref-$$ a/file; rm /dev/shm/ref-$$",
                ["a/file"], []
            ),
            ("mode", "chmod 600 a/file", ["a/file"], []),
            ("owner", "chown 12:34 a/file", ["a/file"], []),
            ("an extended attribute", "setfattr -n user.colour -v red a/file", ["a/file"], []),
            ("an ACL", "setfacl -m u:33:r a/file", ["a/file"], []),
            ("a deletion", "rm a/file", ["a"], ["a/file"]),
            ("a new file", "echo x > a/new", ["a", "a/new"], []),
            ("a rename", "mv a/file b/renamed", ["a", "b", "b/renamed"], ["a/file"]),
            ("a renamed folder", "mv a b/moved", ["", "b", "b/moved", "b/moved/file", "b/moved/other"], ["a"]),
            ("a replaced file", "cp -p a/file a/tmp; mv a/tmp a/file", ["a", "a/file"], []),
            ("a file in place of a folder", "rm -r a; echo x > a", ["", "a"], []),
            ("a folder in place of a file", "rm a/file; mkdir a/file; echo x > a/file/in", ["a", "a/file", "a/file/in"], []),
            ("a change through one of two names", "echo more >> links/one", ["links/one", "links/two"], []),
            ("a third name", "ln links/one links/three", ["links", "links/one", "links/two", "links/three"], []),
            ("a removed name", "rm links/one", ["links", "links/two"], ["links/one"]),
            ("a symbolic link turned elsewhere", "ln -sfn elsewhere link", ["", "link"], []),
            ("a hole punched", "fallocate -p -o 4096 -l 65536 sparse", ["sparse"], []),
            ("a name with a line feed", "touch $'a/line\\nfeed'", ["a", "a/line\nfeed"], []),
            ("nothing", "cat a/file", [], []),
        ] as [(String, String, [String], [String])])
    func `a change is seen`(_ what: String, _ script: String, _ changed: [String], _ deleted: [String]) throws {
        let space = try Workspace("snapshot")
        try space.shell(
            """
            mkdir -p a b links; echo text > a/file; echo x > a/other; echo l > links/one; ln links/one links/two
            ln -s a/file link; dd if=/dev/urandom of=sparse bs=4096 count=32 status=none
            """)
        let old = try settled(space)
        try space.shell(script)
        let found = try difference(space, since: old)
        #expect(found.changedNames == Set(changed))
        #expect(found.deletedNames == Set(deleted))
        #expect(found.changed.count == found.changedNames.count, "listed twice")
    }

    @Test func `what changed just before the snapshot counts as changed next time`() throws {
        let space = try Workspace("fresh")
        try space.write("settled", "x")
        _ = try settled(space)
        try space.write("fresh", "x")
        let view = try FolderView(path: space.path)
        let snapshot = try TreeSnapshot.take(of: view)
        let found = try TreeSnapshot.take(of: view).difference(since: snapshot)
        #expect(found.changedNames == ["", "fresh"])
    }

    @Test func `a store into a mapped file that leaves no trace is covered by the list of mapped files`() throws {
        let space = try Workspace("mapped")
        try space.write("mapped", String(repeating: "x", count: 8192))
        let file = try OwnedDescriptor(opening: space.at("mapped"), flags: O_RDWR)
        let memory = try #require(mmap(nil, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file.raw, 0))
        defer { munmap(memory, 8192) }
        memory.storeBytes(of: 1, as: UInt8.self)
        let mapped = try MappedFiles.of(pids: [getpid()])
        let old = try settled(space)
        memory.storeBytes(of: 2, as: UInt8.self)  // the page is writable already: the kernel isn't asked
        #expect(try difference(space, since: old).isEmpty, "the kernel tells more than we thought: simplify")
        #expect(try difference(space, since: old, mapped: mapped).changedNames == ["mapped"])
        _ = file.raw
    }

    @Test func `what is mounted in the tree isn't entered`() throws {
        let space = try Workspace("mounted")
        try space.shell("mkdir in; echo below > in/below; mount -t tmpfs none in; echo above > in/above")
        defer { _ = try? Spawn.run("umount", [space.at("in")]) }
        let snapshot = try TreeSnapshot.take(of: FolderView(path: space.path))
        let names = Set(snapshot.entries.indices.map { snapshot.path($0).text })
        #expect(names == ["", "in", "in/below"])
    }

    @Test(arguments: [10, 20])
    func `many files are compared`(_ each: Int) throws {
        let space = try Workspace("many")
        try space.shell(
            "for d in $(seq 100); do mkdir d$d; (cd d$d; touch $(seq -f file-%g \(each))); done; touch d50/file-50 d7/file-7")
        let old = try settled(space)
        try space.shell("echo x > d50/file-50; rm d7/file-7; mv d1/file-1 d2/moved")
        let view = try FolderView(path: space.path)
        let start = MonotonicInstant.now
        let new = try TreeSnapshot.take(of: view)
        let walked = MonotonicInstant.now
        let found = new.difference(since: old)
        print("\(old.count) entries: walk \((walked - start).inMilliseconds) ms, comparison \(walked.elapsed.inMilliseconds) ms")
        #expect(found.changedNames == ["d1", "d2", "d2/moved", "d7", "d50/file-50"])
        #expect(found.deletedNames == ["d1/file-1", "d7/file-7"])
    }
}
