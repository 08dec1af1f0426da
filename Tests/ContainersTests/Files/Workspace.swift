import Glibc
import Testing

@testable import Containers
@testable import Host

/// A folder of a test's own, removed at its end.
final class Workspace: Sendable {
    let path: String

    init(_ name: String, below: String = "/var/tmp") throws {
        path = "\(below)/martlet-files-\(name)-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try make("")
    }

    deinit { _ = try? Spawn.run("rm", ["-rf", "--one-file-system", path]) }

    func at(_ name: String) -> String { name.isEmpty ? path : "\(path)/\(name)" }

    func make(_ name: String) throws {
        let result = try Spawn.run("mkdir", ["-p", at(name)])
        guard result.status == .exited(0) else { throw SystemError(call: "mkdir", subject: at(name), errno: EIO) }
    }

    func write(_ name: String, _ text: String) throws {
        let file = try OwnedDescriptor(opening: at(name), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
        let bytes = Array(text.utf8)
        try FileIO.writeAll(bytes.span.bytes, to: file.raw, name: name)
    }

    func read(_ name: String) throws -> String {
        String(decoding: try FileIO.read(at(name)), as: UTF8.self)
    }

    /// Runs a shell script in the folder; fails the test if it fails.
    @discardableResult
    func shell(_ script: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
        let result = try Spawn.run("/bin/bash", ["-euc", "cd '\(path)'; \(script)"], timeout: .seconds(120))
        #expect(result.status == .exited(0), "\(script): \(result.errorText)", sourceLocation: sourceLocation)
        return result.outputText
    }

    /// One line for each entry: type, mode, owners, links, size, blocks, time, device, attributes and ACLs, content's sum.
    func listing(_ name: String) throws -> String {
        try shell(
            """
            python3 - '\(at(name))' <<'END'
            import os, sys, stat, hashlib
            root = os.fsencode(sys.argv[1]); os.chdir(root)
            def show(path):
                s = os.lstat(path); line = [repr(path), oct(s.st_mode), s.st_uid, s.st_gid, s.st_rdev]
                if stat.S_ISREG(s.st_mode):
                    line += [s.st_nlink, s.st_size, s.st_mtime_ns, hashlib.sha1(open(path, 'rb').read()).hexdigest()[:12]]
                if stat.S_ISLNK(s.st_mode): line.append(os.readlink(path))
                else: line += sorted((a, os.getxattr(path, a, follow_symlinks=False)) for a in os.listxattr(path, follow_symlinks=False))
                print(*line)
            show(b'.')
            for folder, folders, files in os.walk(b'.'):
                folders.sort()
                for n in sorted(folders + files): show(os.path.join(folder, n))
            END
            """)
    }
}

extension [UInt8] {
    var text: String { String(decoding: self, as: UTF8.self) }
}
extension TreeDifference {
    var changedNames: Set<String> { Set(changed.map(\.text)) }
    var deletedNames: Set<String> { Set(deleted.map(\.text)) }
}
