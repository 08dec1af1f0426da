import Glibc
import Testing

@testable import Containers
@testable import Host

extension Tag {
    @Tag static var root: Self
    @Tag static var slow: Self
}

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
        try shell("""
            cd '\(at(name))'
            find . -print0 | sort -z | while IFS= read -r -d '' f; do
              stat -c '%F %a %u %g %h %t:%T' -- "$f" | tr '\\n' ' '
              if [ -f "$f" ] && [ ! -L "$f" ]; then stat -c '%s %.Y' -- "$f" | tr '\\n' ' '; sha1sum < "$f" | cut -c1-12 | tr '\\n' ' '; fi
              if [ -L "$f" ]; then readlink -- "$f" | tr '\\n' ' '; else getfattr -h -m - -d -e hex -- "$f" 2>/dev/null | grep = | tr '\\n' ' ' || true; fi
              printf '%q\\n' "$f"
            done
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
