import Glibc
import Synchronization

@testable import Wire

/// A folder of a test's own, removed with its files at the end.
final class Scratch: Sendable {
    private static let counter = Atomic(0)
    let path: String

    init() {
        let number = Self.counter.add(1, ordering: .relaxed).newValue
        path = "/tmp/martlet-wire-tests-\(getpid())-\(number)"
        mkdir(path, 0o700)
    }

    deinit { Self.remove(path) }

    private static func remove(_ path: String) {
        guard let folder = opendir(path) else {
            unlink(path)
            return
        }
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != "." && name != ".." { remove("\(path)/\(name)") }
        }
        closedir(folder)
        rmdir(path)
    }
}

/// One authority and hosts of it, made once for all tests.
final class TestAuthority: Sendable {
    static let shared = TestAuthority()
    static let other = TestAuthority()

    let scratch = Scratch()
    var directory: String { "\(scratch.path)/authority" }

    init() { try? Certificates.createAuthority(in: directory) }

    /// A folder with a host's files.
    func host(
        _ name: String, addresses: [String] = ["127.0.0.1"], validity: Validity = .days(1)
    ) throws -> String {
        let output = "\(scratch.path)/\(name)-\(UInt32.random(in: .min ... .max))"
        try Certificates.issue(name: name, addresses: addresses, authority: directory, output: output, validity: validity)
        return output
    }

    func credentials(
        _ name: String, addresses: [String] = ["127.0.0.1"], validity: Validity = .days(1)
    ) throws -> Credentials {
        try Credentials(directory: host(name, addresses: addresses, validity: validity), checkingOwn: false)
    }
}
