import Host
import Testing

@testable import Wire

@Suite struct SSHAddressTests {
    @Test(
        arguments: [
            ("ssh://beta", nil, "beta", nil), ("ssh://root@beta", "root", "beta", nil),
            ("ssh://root@beta:2222", "root", "beta", 2222),
            ("ssh://10.77.0.2:22", nil, "10.77.0.2", 22), ("ssh://a.b-c_d@[2001:db8::2]:22", "a.b-c_d", "2001:db8::2", 22),
            ("ssh://[fe80::1%eth0]", nil, "fe80::1%eth0", nil),
        ] as [(String, String?, String, UInt16?)])
    func `an address is read, and says itself again`(_ text: String, _ user: String?, _ host: String, _ port: UInt16?) throws {
        let address = try SSHAddress(text)
        #expect(address.user == user && address.host == host && address.port == port)
        #expect(address.description == text)
    }

    @Test(arguments: [
        ("beta", "is due"), ("ssh://", "host is missing"), ("ssh://root@", "host is missing"), ("ssh://@beta", "user's name"),
        ("ssh://root:secret@beta", "no password"), ("ssh://beta:", "no port"), ("ssh://beta:0", "no port"),
        ("ssh://beta:65536", "no port"), ("ssh://beta:+22", "no port"), ("ssh://beta:ssh", "no port"),
        ("ssh://beta/r1", "nothing may follow"), ("ssh://-oProxyCommand=x", "no host's name"),
        ("ssh://-lroot@beta", "user's name"), ("ssh://a b", "no host's name"), ("ssh://$(id)", "no host's name"),
        ("ssh://2001:db8::2", "brackets"), ("ssh://[2001:db8::2", "bracket"), ("ssh://[::1]22", "bracket"),
        ("ssh://root@[]", "host is missing"), ("ssh://be\u{1b}ta", "no host's name"),
    ])
    func `a wrong form says what is wrong`(_ text: String, _ words: String) {
        let error = #expect(throws: AddressMistake.self) { try SSHAddress(text) }
        #expect(error?.why.contains(words) == true, "\(error?.why ?? "none")")
    }
}

@Suite struct SSHCommandTests {
    private func words(_ address: String, prefersGCM: Bool = false) throws -> [String] {
        SSHCommand(address: try SSHAddress(address), prefersGCM: prefersGCM).arguments("true")
    }

    @Test func `nothing is said of host checks, keys or ciphers`() throws {
        let words = try words("ssh://root@beta:2222")
        for word in ["StrictHostKeyChecking", "UserKnownHostsFile", "IdentityFile", "Ciphers", "-i", "-F"] {
            #expect(!words.contains { $0.hasPrefix(word) }, "\(word)")
        }
        #expect(words.contains("BatchMode=yes") && words.contains("ControlPath=none") && words.first == "-T")
    }

    @Test func `user and port are options, and the host stands behind the end of all options`() throws {
        let words = try words("ssh://root@beta:2222")
        #expect(words.suffix(7) == ["-p", "2222", "-l", "root", "--", "beta", "exec sh -c 'true'"])
        #expect(try self.words("ssh://[::1]").suffix(3) == ["--", "::1", "exec sh -c 'true'"])
        #expect(!(try self.words("ssh://beta")).contains("-l"))
    }

    @Test func `AES-GCM is put before OpenSSH's own list, never in place of one`() throws {
        #expect(try words("ssh://beta", prefersGCM: true).contains("Ciphers=^aes128-gcm@openssh.com"))
    }

    @Test func `what runs there passes any shell in single quotes`() {
        #expect(!SSHCommand.joining(copy: "/usr/local/lib/martlet/copy-0").contains("'"))
    }
}

@Suite struct SSHFailureTests {
    @Test(
        arguments: [
            (255, ["banner", "root@beta: Permission denied (publickey)."], "Permission denied", "ssh-copy-id"),
            (
                255, ["No ED25519 host key is known for beta.", "Host key verification failed."], "No ED25519 host key",
                "ssh root@beta"
            ),
            (255, ["ssh: Could not resolve hostname beta: Name or service not known"], "resolve", "name"),
            (255, ["ssh: connect to host beta port 22: Connection refused"], "refused", "sshd"),
            (127, ["martlet: not found"], "not installed", "--copy-binary"),
            (77, ["martlet needs root here; this is user 1000"], "root", "root@"),
            (2, ["Error: Unexpected argument 'internal-ssh'", "Usage: martlet"], "another version", "same version"),
            (1, ["sh: libswiftCore.so: cannot open"], "libswiftCore", "by hand"), (255, [], "without a word", "by hand"),
        ] as [(Int32, [String], String, String)])
    func `each end has words of its own`(_ code: Int32, _ lines: [String], _ why: String, _ hint: String) {
        let error = WireError.ssh(peer: "ssh://root@beta", SSHFailure(.exited(code), lines: lines))
        #expect(error.why.contains(why), "\(error.why)")
        #expect(error.hint.contains(hint), "\(error.hint)")
        #expect(error.what.contains("ssh://root@beta"))
    }
}

@Suite struct ProgramLibrariesTests {
    @Test func `all but the C library is taken, under the name that is asked for`() {
        let listing = """
            \tlinux-vdso.so.1 (0x00007ffc)
            \tliblz4.so.1 => /lib/x86_64-linux-gnu/liblz4.so.1 (0x00007f1)
            \tlibswiftCore.so => /opt/swift/usr/lib/swift/linux/libswiftCore.so (0x00007f2)
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f3)
            \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f3)
            \tlibgone.so => not found
            \tlibodd.so.1 => /lib/libodd.so.1.2 (0x00007f3)
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f4)
            """
        #expect(
            ProgramLibraries.list(ldd: listing) == [
                "/lib/x86_64-linux-gnu/liblz4.so.1", "/opt/swift/usr/lib/swift/linux/libswiftCore.so",
            ])
        #expect(ProgramLibraries.list(ldd: "\tnot a dynamic executable") == [])
    }
}
