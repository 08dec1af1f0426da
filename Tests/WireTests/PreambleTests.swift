import Model
import Testing

@testable import Wire

private let migration = MigrationID(bytes: (0..<16).map { UInt8($0 * 17) })!

@Suite struct PreambleTests {
    /// One line a field.
    private let golden: [UInt8] =
        [0x4d, 0x41, 0x52, 0x54, 0x4c, 0x45, 0x54, 0x0a]  // "MARTLET\n"
        + [0x01, 0x00]  // protocol version 1
        + [0x02]  // role: data
        + [0x03]  // stream 3
        + [0x00, 0x00, 0x00, 0x00]  // reserved
        + [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]  // migration identifier
        + [0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]

    @Test func `a preamble has its golden bytes`() throws {
        let preamble = Preamble(role: .data, stream: 3, migration: migration)
        #expect(preamble.encoded == golden)
        #expect(try Preamble(decoding: golden) == preamble)
    }

    @Test(arguments: [
        (0, UInt8(ascii: "G"), "the bytes 47 41 52 54 4c 45 54 0a came, \"MARTLET\" was due: the peer is no martlet"),
        (8, 2, "protocol version 2 came, 1 was due"),
        (10, 0, "role 0 came, 1 (control), 2 (data) or 3 (files) was due"),
        (10, 4, "role 4 came, 1 (control), 2 (data) or 3 (files) was due"),
        (13, 1, "reserved bytes 00 01 00 00 came, zero was due"),
    ])
    func `a wrong byte is told with what was due`(offset: Int, value: UInt8, text: String) {
        var bytes = golden
        bytes[offset] = value
        #expect { try Preamble(decoding: bytes) } throws: { "\($0)" == text }
    }

    @Test(arguments: [0, 31, 33]) func `a wrong length is no preamble`(length: Int) {
        #expect(throws: PreambleError.length(came: length)) {
            try Preamble(decoding: Array((golden + [0]).prefix(length)))
        }
    }

    @Test func `a migration identifier reads its own text`() {
        #expect(migration.description == "00112233445566778899aabbccddeeff")
        #expect(MigrationID(migration.description) == migration)
        #expect(MigrationID("00112233445566778899aabbccddee") == nil)
        #expect(MigrationID("+0112233445566778899aabbccddeeff") == nil)
        #expect(MigrationID.random() != MigrationID.random())
    }

    @Test func `a refusal has its golden bytes`() {
        let bytes: [UInt8] =
            Array("MARTLET!".utf8)
            + [0x01, 0x00]  // protocol version 1
            + [0x04]  // busy
            + [0x00]
            + Array("12 migrations".utf8) + [0, 0, 0, 0, 0, 0, 0]
        #expect(Refusal(.busy, note: "12 migrations").encoded == bytes)
        #expect(Refusal(decoding: bytes)?.description == "it is busy: 12 migrations")
        #expect(Refusal(decoding: golden) == nil)
    }

    @Test func `a refusal of a newer program is told with its note`() {
        var bytes = Refusal(.busy, note: "wants a new moon\u{1b}[2J").encoded
        bytes[8] = 9
        bytes[10] = 77
        let refusal = Refusal(decoding: bytes)
        #expect(refusal?.reason == nil)
        #expect(refusal?.version == 9)
        #expect(refusal?.description == "reason 77: wants a new moon?[2J", "no control characters reach the terminal")
    }

    @Test func `an old peer's refusal names both versions`() {
        var bytes = Refusal(.protocolVersion, note: "speaks version 7").encoded
        bytes[8] = 7
        let error = WireError.refused(peer: "beta:7077", Refusal(decoding: bytes)!)
        #expect(error.description == "beta:7077 refused the connection: it speaks protocol version 7, this program speaks 1")
        #expect(error.hint == "install the same version of martlet on both hosts")
    }
}
