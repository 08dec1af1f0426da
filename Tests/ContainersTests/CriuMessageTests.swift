import Testing

@testable import Containers

/// Golden bytes: what CRIU 4.2's own protobuf-c packs and unpacks.
@Suite struct CriuMessageTests {
    @Test func `a dump request has its options in a submessage`() {
        var options = CriuOptions()
        options.imagesDirectory = 5
        options.pid = 300
        options.notifyScripts = true
        options.externalMounts = [.init(key: "/d", value: "/d")]
        options.cgroupMode = .ignore
        options.networkLock = .skip
        #expect(
            CriuRequest.dump(options).encoded()
                == [
                    0x08, 0x01,  // type = DUMP
                    0x12, 0x1a,  // opts, 26 bytes
                    0x08, 0x05,  // images_dir_fd = 5
                    0x10, 0xac, 0x02,  // pid = 300
                    0x60, 0x01,  // notify_scripts
                    0xba, 0x01, 0x08, 0x0a, 0x02, 0x2f, 0x64, 0x12, 0x02, 0x2f, 0x64,  // ext_mnt { key "/d", val "/d" }
                    0x90, 0x02, 0x00,  // manage_cgroups_mode = IGNORE
                    0x80, 0x04, 0x03,  // network_lock = SKIP
                ].withFixedLength(at: 3))
    }

    @Test func `a page server is named by a descriptor`() {
        var options = CriuOptions()
        options.pageServer = 4
        #expect(options.encoded() == [0x5a, 0x02, 0x20, 0x04])  // ps { fd = 4 }
    }

    @Test func `a negative number takes ten bytes`() {
        var writer = ProtobufWriter()
        writer.field(1, Int32(-1))
        #expect(writer.bytes == [0x08] + [UInt8](repeating: 0xff, count: 9) + [0x01])
    }

    @Test(arguments: [(true, [0x08, 0x06, 0x18, 0x01]), (false, [0x08, 0x06, 0x18, 0x00])] as [(Bool, [UInt8])])
    func `a verdict says whether to go on`(_ success: Bool, _ bytes: [UInt8]) {
        #expect(CriuRequest.verdict(success: success).encoded() == bytes)
    }

    @Test func `a notification carries its name and pid`() throws {
        let response = try CriuResponse(
            [
                0x08, 0x06,  // type = NOTIFY
                0x10, 0x01,  // success
                0x2a, 0x0d, 0x0a, 0x09,
            ] + Array("post-dump".utf8) + [
                0x10, 0x07,  // notify { script, pid = 7 }
            ])
        #expect(response.kind == .notify && response.script == "post-dump" && response.pid == 7)
    }

    @Test func `a failure carries number and text`() throws {
        let response = try CriuResponse([0x08, 0x01, 0x10, 0x00, 0x38, 0x38, 0x4a, 0x02, 0x6e, 0x6f])
        #expect(response.kind == .dump && !response.success && response.errorNumber == 56 && response.errorMessage == "no")
    }

    @Test func `a version is major, minor and sublevel`() throws {
        let response = try CriuResponse([0x08, 0x0a, 0x10, 0x01, 0x52, 0x06, 0x08, 0x04, 0x10, 0x02, 0x20, 0x01])
        #expect(response.version == CriuVersion(4, 2, 1))
    }

    @Test func `hostile bytes are refused and never crash`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0..<40, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            _ = try? CriuResponse(bytes)
        }
        #expect(throws: ProtobufError.self) { try CriuResponse([0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]) }
        #expect(throws: ProtobufError.self) { try CriuResponse([0x08] + [UInt8](repeating: 0x80, count: 20)) }
        #expect(throws: ProtobufError.self) { try CriuResponse([0x0b]) }  // a group, which nobody sends
    }

    @Test func `the real errors are picked out of CRIU's log`() {
        let log = CriuLog(
            path: "x",
            text: """
                (00.000001) Version: 4.2.1 (gitid 0)
                (00.010000) Warn  (criu/kerndat.c:1): nothing
                (00.012345) Error (criu/files-reg.c:1791): Can't lookup mount=82 for fd=1 path=/data/x.log
                (00.012346)      12: Error (criu/mem.c:5): inner
                (00.012347) task said "Error (fake): no"
                (00.012400) Error (criu/cr-dump.c:2128): Dumping FAILED.
                """)
        #expect(
            log.errors == [
                "Error (criu/files-reg.c:1791): Can't lookup mount=82 for fd=1 path=/data/x.log",
                "Error (criu/mem.c:5): inner",
                "Error (criu/cr-dump.c:2128): Dumping FAILED.",
            ])
    }

    @Test func `of a container's own configuration only what suits a migration is kept`() {
        let configuration = CriuConfiguration(
            "# ours\n  ghost-limit 5000000\nmanage-cgroups=full\ntcp-established\nnetwork-lock iptables\nlog-file /x\nverbosity 4\n\nlink-remap"
        )
        #expect(configuration.logLevel == 4)
        #expect(configuration.kept == ["ghost-limit 5000000", "tcp-established", "link-remap"])
        #expect(configuration.ignored == ["manage-cgroups=full", "network-lock iptables", "log-file /x"])
    }
}

extension [UInt8] {
    /// Corrects a length byte to what follows it, so that the table above can be read line by line.
    fileprivate func withFixedLength(at index: Int) -> [UInt8] {
        var copy = self
        copy[index] = UInt8(count - index - 1)
        return copy
    }
}
