import Glibc
import Testing

@testable import Host

@Suite struct PumpTests {
    private func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) } }

    private func collect(_ end: SharedDescriptor) throws -> (Thread, Mailbox<[UInt8]>) {
        let result = Mailbox<[UInt8]>()
        let thread = try Thread(named: "collect") {
            var all: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 64 << 10)
            while case let count = read(end.raw, &chunk, chunk.count), count > 0 { all += chunk[..<count] }
            result.post(all)
        }
        return (thread, result)
    }

    private func pair() throws -> (SharedDescriptor, SharedDescriptor) {
        var ends: [Int32] = []
        try UnixSocket.pair(.stream).split { first, second in
            ends = [first.takeDescriptor().release(), second.takeDescriptor().release()]
        }
        return (SharedDescriptor(OwnedDescriptor(taking: ends[0])), SharedDescriptor(OwnedDescriptor(taking: ends[1])))
    }

    @Test func `bytes pass from a pipe to a socket until the pipe's end`() throws {
        let sent = bytes(3_000_001)
        let pipe = try Pipe(), (near, far) = try pair()
        Pump.widen(pipe.read.raw)
        let (thread, got) = try collect(far)
        let source = SharedDescriptor(try pipe.read.duplicate())
        let pump = try Thread(named: "pump") {
            try? Pump.run(from: source.raw, to: near.raw)
            shutdown(near.raw, Int32(SHUT_WR))
        }
        let input = pipe.closeReadEnd()
        try FileIO.writeAll(sent.span.bytes, to: input.raw, name: "pipe")
        try input.close()
        pump.join()
        #expect(got.next(deadline: .now + .seconds(30)) == sent)
        thread.join()
    }

    @Test func `bytes pass between two sockets, which splice can't join`() throws {
        let sent = bytes(1_000_003)
        let (input, source) = try pair(), (near, far) = try pair()
        let (thread, got) = try collect(far)
        let pump = try Thread(named: "pump") {
            try? Pump.run(from: source.raw, to: near.raw)
            shutdown(near.raw, Int32(SHUT_WR))
        }
        try FileIO.writeAll(sent.span.bytes, to: input.raw, name: "socket")
        shutdown(input.raw, Int32(SHUT_WR))
        pump.join()
        #expect(got.next(deadline: .now + .seconds(30)) == sent)
        thread.join()
    }

    @Test func `a taking end that takes nothing is given up`() throws {
        let pipe = try Pipe(), (input, source) = try pair()
        // Full: nothing more goes in.
        _ = fcntl(pipe.write.raw, F_SETFL, O_NONBLOCK)
        let page = bytes(4096)
        while write(pipe.write.raw, page, page.count) > 0 {}
        try FileIO.writeAll(page.span.bytes, to: input.raw, name: "socket")
        let error = #expect(throws: SystemError.self) {
            try Pump.run(from: source.raw, to: pipe.write.raw, patience: .milliseconds(50))
        }
        #expect(error?.errno == ETIMEDOUT)
    }
}
