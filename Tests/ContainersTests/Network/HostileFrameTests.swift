import Glibc
import Synchronization
import Testing

@testable import Containers
@testable import Host

/// A Python program in a network namespace, whose output is read from a file; killed with its owner.
final class PythonInside {
    private let path: String
    private let pid: Int32

    init(_ namespace: String, _ program: String) throws {
        path = "/run/mf-\(namespace)-\(String(UInt32.random(in: 0 ... .max), radix: 16))"
        try FileIO.writeAtomically(Array(program.utf8), to: path)
        let run = try Spawn.run(
            "/bin/bash",
            ["-c", "ip netns exec \(namespace) timeout 60 python3 \(path) >\(path).out 2>&1 </dev/null & echo $!"])
        pid = Int32(run.outputText.filter(\.isNumber)) ?? -1
    }

    deinit {
        if pid > 0 { kill(pid, SIGTERM) }
        for end in ["", ".out"] { unlink(path + end) }
    }

    func output() throws -> String { String(decoding: try FileIO.read("\(path).out"), as: UTF8.self) }
}

/// What a peer may give a container as captured frames: again, out of order, made up.
@Suite("Frames that nobody sent", .tags(.root), .serialized)
struct HostileFrameTests {
    private static let stream = 4 << 20

    private static let server = """
        import socket
        s = socket.create_server(('', 90)); print('listens', flush=True)
        c, _ = s.accept()
        while data := c.recv(65536): c.sendall(data)
        """

    /// Sends numbers and compares every byte that comes back.
    private static let client = """
        import socket, struct, threading, time
        s = socket.create_connection(('10.199.7.5', 90)); s.settimeout(40)
        data = b''.join(struct.pack('>I', n) for n in range(\(stream) // 4))
        def send():
            for at in range(0, len(data), 8000): s.sendall(data[at:at + 8000]); time.sleep(0.004)
        threading.Thread(target=send).start()
        at = 0
        while at < len(data):
            came = s.recv(65536)
            if not came or came != data[at:at + len(came)]: print('wrong at', at); break
            at += len(came)
        else: print('all came')
        """

    /// The same frame as somebody would forge it who doesn't know the connection's numbers: other sequence numbers and a reset, an
    /// unknown port, cut short, nothing but noise.
    private func forgeries(_ frame: CapturedFrame, _ random: inout some RandomNumberGenerator) -> [CapturedFrame] {
        let tcp = CapturedFrame.headerBytes + 14 + 20
        guard frame.bytes.count > tcp + 20, frame.bytes[CapturedFrame.headerBytes + 23] == 6 else { return [] }
        func changed(_ change: (inout [UInt8]) -> Void) -> CapturedFrame {
            var bytes = frame.bytes
            // As if its checksum were still to be made: a wrong one would be too easy to refuse.
            change(&bytes)
            return CapturedFrame(interface: 0, bytes: bytes)
        }
        let far = UInt8.random(in: 64...192, using: &random)
        let noise = (0..<frame.bytes.count - 24).map { _ in UInt8.random(in: 0...255, using: &random) }
        return [
            changed { $0[tcp + 4] &+= far },
            changed {
                $0[tcp + 4] &+= far
                $0[tcp + 13] = 0x04  // RST
            },
            changed { $0[tcp + 2] ^= 0x40 },
            CapturedFrame(interface: 0, bytes: Array(frame.bytes[..<(tcp + Int.random(in: 0..<20, using: &random))])),
            CapturedFrame(interface: 0, bytes: Array(frame.bytes[..<24]) + noise),
        ]
    }

    @Test func `replayed, reordered and forged frames leave a connection as it is`() throws {
        let network = try TestNetwork()
        let mac = try #require(MACAddress(network.mac))
        let tap = try FrameTap(bridge: network.bridge, interface: 0, mac: mac)
        let injector = try FrameInjector(hostName: "mfv\(network.tag)", mac: mac)
        let server = try PythonInside(network.source, Self.server)
        try eventually("it listens") { try server.output().contains("listens") }
        let client = try PythonInside(network.client, Self.client)
        var random = SystemRandomNumberGenerator(), replayed = 0, forged = 0
        let deadline = MonotonicInstant.now + .seconds(50)
        while try client.output().isEmpty, .now < deadline {
            var frames: [CapturedFrame] = []
            tap.drain { if $0.bytes.count < 4096 || frames.count < 20 { frames.append($0) } }
            // What was given before is captured again, as it would be at a destination: a part is enough.
            for frame in frames.shuffled(using: &random).prefix(40) {
                injector.give(frame)
                replayed += 1
                for forgery in forgeries(frame, &random) {
                    injector.give(forgery)
                    forged += 1
                }
            }
            sleepThread(.milliseconds(2))
        }
        #expect(try client.output() == "all came\n")
        #expect(replayed > 100 && forged > 100, "\(replayed) replayed and \(forged) forged frames are too few to tell")
    }

    /// A frame for somebody else, or longer than any, is refused before it is given.
    @Test func `frames for others are not given`() throws {
        let network = try TestNetwork()
        let mac = try #require(MACAddress(network.mac))
        let injector = try FrameInjector(hostName: "mfv\(network.tag)", mac: mac)
        func frame(_ target: [UInt8], _ length: Int) -> CapturedFrame {
            let head = [UInt8](repeating: 0, count: CapturedFrame.headerBytes) + target
            return CapturedFrame(interface: 0, bytes: Array((head + [UInt8](repeating: 0, count: length)).prefix(length)))
        }
        for other: [UInt8] in [[2, 0, 0, 0, 0x0a, 0xfe], [0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0x0a, 0x06]] {
            #expect(!injector.takes(frame(other, 100)))
        }
        for length in [0, 1, CapturedFrame.headerBytes + 13, CapturedFrame.mostBytes + 1, 1 << 20] {
            #expect(!injector.takes(frame(mac.bytes, length)))
        }
        for length in [CapturedFrame.headerBytes + 14, CapturedFrame.mostBytes] {
            #expect(injector.takes(frame(mac.bytes, length)))
        }
    }
}
