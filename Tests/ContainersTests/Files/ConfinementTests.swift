import Glibc
import Testing

@testable import Containers
@testable import Host

@Suite("A confined program", .tags(.root))
struct ConfinementTests {
    private func run(_ confinement: Confinement, _ script: String) throws -> (status: Host.ExitStatus, output: String) {
        let pipe = try Pipe()
        var spawn = Spawn("/bin/sh", ["-c", script])
        spawn.descriptors = [1: pipe.write.raw, 2: pipe.write.raw]
        let child = try confinement.start(spawn)
        let end = pipe.closeWriteEnd()
        var output: [UInt8] = [], chunk = [UInt8](repeating: 0, count: 4096)
        while case let n = read(end.raw, &chunk, chunk.count), n > 0 { output += chunk[..<n] }
        let status = try #require(try child.wait(until: .now + .seconds(30)))
        return (status, String(decoding: output, as: UTF8.self))
    }

    @Test func `it sees its folders and the system's programs and nothing else`() throws {
        let space = try Workspace("confined")
        try space.shell("mkdir a b; echo in-a > a/file; mkdir a/mounted; mount -t tmpfs none a/mounted; touch a/mounted/hidden")
        defer { _ = try? Spawn.run("umount", [space.at("a/mounted")]) }
        let confinement = Confinement(folders: [space.at("a"), space.at("b")], access: .readWrite)
        let seen = try run(
            confinement,
            "ls -A /; cat /tree/0/file; ls -A /tree/0/mounted; echo x > /tree/1/new; ls -A /dev; cat /proc/self/mounts 2>&1 | head -1"
        )
        #expect(seen.status == .exited(0))
        let names = Set(seen.output.split(separator: "\n").map(String.init))
        // null: all of /dev
        var expected: Set = ["in-a", "tree", "usr", "dev", "null", "cat: /proc/self/mounts: No such file or directory"]
        for system in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] where FileIO.exists("/\(system)") {
            expected.insert(system)
        }
        #expect(names == expected)
        #expect(try space.read("b/new") == "x\n")
    }

    /// The last word is the reason: a refusal for another one would prove nothing.
    @Test(arguments: [
        ("writing to the system", "echo x > /usr/bin/evil", "Read-only"),
        ("writing to the root", "echo x > /evil", "Read-only"),
        ("leaving by dots", "cd /tree/0; echo x > ../../etc/passwd", "nonexistent"),
        ("an absolute link", "ln -s /usr/bin /tree/0/link && echo x > /tree/0/link/evil", "symbolic links"),
        (
            "a relative link inside", "mkdir /tree/0/real && ln -s real /tree/0/link && echo x > /tree/0/link/file",
            "symbolic links"
        ),
        ("opening a device node", "mknod /tree/0/zero c 1 5 && head -c1 /tree/0/zero", "Permission denied"),
        (
            "running a program from the folder", "cp /bin/true /tree/0/true && chmod 755 /tree/0/true && /tree/0/true",
            "Permission denied"
        ),
        ("mounting", "mount -t tmpfs none /tree/0", "denied"),
        ("unmounting the confinement", "umount /tree/0", "must be superuser"),
        ("making the system writable", "mount -o remount,rw,bind /usr", "denied"),
        ("finding other processes", "mkdir /tree/0/p && mount -t proc none /tree/0/p", "denied"),
        ("a new namespace", "unshare -m mount -t tmpfs none /tree/0", "not permitted"),
        ("TCP", "/bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/22'", "Permission denied"),
    ])
    func `is refused`(_ what: String, _ script: String, _ reason: String) throws {
        let space = try Workspace("refused")
        let result = try run(Confinement(folders: [space.path], access: .readWrite), script)
        #expect(result.status != .exited(0) && result.output.contains(reason), "\(what): \(result.output)")
    }

    @Test func `a read-only folder can't be changed and its access times stay`() throws {
        let space = try Workspace("readonly")
        try space.write("file", "text")
        try space.shell("touch -a -d 2001-01-01 file")
        let result = try run(
            Confinement(folders: [space.path], access: .readOnly),
            "cat /tree/0/file; echo x > /tree/0/file || chmod 600 /tree/0/file || rm -f /tree/0/file || echo held")
        #expect(result.output.hasPrefix("text") && result.output.hasSuffix("held\n"))
        #expect(try space.shell("stat -c %x file").hasPrefix("2001-01-01"))
    }

    @Test func `our own threads keep their view`() throws {
        let space = try Workspace("own-view")
        _ = try run(Confinement(folders: [space.path], access: .readWrite), "true")
        #expect(FileIO.exists("/etc/passwd"))
        #expect(try FileIO.readLink("/proc/self/root") == "/")
        #expect(try !MountInfo.ofSelf().contains { $0.mountPoint.hasSuffix("/tree/0") })
    }
}
