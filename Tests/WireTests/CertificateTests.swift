import Glibc
import Testing

@testable import Wire

private func mode(_ path: String) -> UInt32? {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & 0o777 : nil
}

@Suite struct CertificateTests {
    @Test func `an authority's key is its owner's only`() throws {
        let scratch = Scratch()
        let directory = "\(scratch.path)/ca"
        try Certificates.createAuthority(in: directory, name: "test authority")
        #expect(mode("\(directory)/authority.key") == 0o600)
        let described = try CertificateDescription.read("\(directory)/authority.pem")
        #expect(described.isAuthority)
        #expect(described.subject.hasPrefix("test authority "))
        #expect(described.text.contains("kind:      authority"))
    }

    @Test func `an authority is never replaced`() throws {
        let scratch = Scratch()
        try Certificates.createAuthority(in: scratch.path)
        let before = try CertificateFiles.read("\(scratch.path)/authority.pem")
        #expect(throws: CertificateError.authorityExists(path: "\(scratch.path)/authority.pem")) {
            try Certificates.createAuthority(in: scratch.path)
        }
        #expect(try CertificateFiles.read("\(scratch.path)/authority.pem") == before)
    }

    @Test func `an issued certificate bears name and addresses`() throws {
        let directory = try TestAuthority.shared.host("beta", addresses: ["10.77.0.2", "fd00:0::2"])
        #expect(mode("\(directory)/host.key") == 0o600)
        let described = try CertificateDescription.read("\(directory)/host.pem")
        #expect(described.subject == "beta")
        #expect(described.names == ["beta"])
        #expect(described.addresses == ["10.77.0.2", "fd00::2"])
        #expect(described.hasHostUsage && !described.isAuthority)
        for host in ["beta", "BETA", "10.77.0.2", "fd00::2", "fd00:0:0::2"] { #expect(described.bears(host)) }
        for host in ["alpha", "10.77.0.3", "beta.example", ""] { #expect(!described.bears(host)) }
        #expect(described.text.contains("DNS beta, IP 10.77.0.2, IP fd00::2"))
        #expect(described.validUntil - described.validFrom == 86_400 + 300)
    }

    @Test func `issuing again replaces the host's files`() throws {
        let scratch = Scratch()
        let authority = TestAuthority.shared.directory
        try Certificates.issue(name: "alpha", authority: authority, output: scratch.path)
        try Certificates.issue(name: "beta", authority: authority, output: scratch.path)
        #expect(try Credentials(directory: scratch.path).own.subject == "beta")
    }

    @Test(arguments: ["", "two words", "-x", ".x", "a/b", String(repeating: "a", count: 254)])
    func `a name that is no host name is refused`(name: String) {
        let scratch = Scratch()
        #expect(throws: CertificateError.badName(name)) {
            try Certificates.issue(name: name, authority: TestAuthority.shared.directory, output: scratch.path)
        }
    }

    @Test func `an address that is none is refused`() {
        let scratch = Scratch()
        #expect(throws: CertificateError.badAddress("10.77.0")) {
            try Certificates.issue(
                name: "a", addresses: ["10.77.0"], authority: TestAuthority.shared.directory, output: scratch.path)
        }
    }

    @Test func `issuing without an authority says which files are missing`() {
        let scratch = Scratch()
        #expect(throws: CertificateError.missing(directory: scratch.path, files: ["authority.pem", "authority.key"])) {
            try Certificates.issue(name: "a", authority: scratch.path, output: scratch.path)
        }
    }

    @Test func `credentials name every missing file`() throws {
        let scratch = Scratch()
        #expect { try Credentials(directory: scratch.path) } throws: { error in
            guard let error = error as? CertificateError else { return false }
            return error == .missing(directory: scratch.path, files: ["authority.pem", "host.pem", "host.key"])
                && error.hint.contains("martlet certs issue")
        }
    }

    @Test func `a host learns that its own certificate has expired`() throws {
        let directory = try TestAuthority.shared.host("old", validity: Validity(fromSeconds: -7200, untilSeconds: -3600))
        #expect { try Credentials(directory: directory) } throws: { error in
            if case .unusable(_, .expired) = error as? CertificateError { "\(error)".contains("expired on 2") } else { false }
        }
    }

    @Test func `a host learns that its own certificate is of the future`() throws {
        let directory = try TestAuthority.shared.host("new", validity: Validity(fromSeconds: 3600, untilSeconds: 7200))
        #expect { try Credentials(directory: directory) } throws: { error in
            if case .unusable(_, .notYetValid) = error as? CertificateError { true } else { false }
        }
    }

    @Test func `files of two authorities don't fit together`() throws {
        let directory = try TestAuthority.shared.host("mixed")
        let foreign = try CertificateFiles.read("\(TestAuthority.other.directory)/authority.pem")
        try CertificateFiles.write(foreign, to: "\(directory)/authority.pem", isPrivate: false, replacing: true)
        #expect { try Credentials(directory: directory) } throws: { error in
            if case .unusable(_, .wrongAuthority) = error as? CertificateError { true } else { false }
        }
    }

    @Test func `a key of another certificate is noticed`() throws {
        let (one, two) = (try TestAuthority.shared.host("one"), try TestAuthority.shared.host("two"))
        let key = try CertificateFiles.read("\(two)/host.key")
        try CertificateFiles.write(key, to: "\(one)/host.key", isPrivate: true, replacing: true)
        #expect(throws: CertificateError.keyMismatch(directory: one)) { try Credentials(directory: one) }
    }

    @Test func `an authority's certificate is no host's`() throws {
        let authority = try CertificateFiles.certificate("\(TestAuthority.shared.directory)/authority.pem")
        #expect(judge(authority, authority: authority, dialled: nil) == .wrongUsage)
    }

    @Test func `a file of something else is malformed`() throws {
        let directory = try TestAuthority.shared.host("odd")
        try CertificateFiles.write("hello", to: "\(directory)/host.pem", isPrivate: false, replacing: true)
        #expect { try Credentials(directory: directory) } throws: { error in
            if case .malformed = error as? CertificateError { true } else { false }
        }
    }
}
