import Host
import Model
import Synchronization
import Testing

@testable import Wire

@Suite struct TokenBucketTests {
    private let start = MonotonicInstant(nanoseconds: 1_000_000_000)

    @Test func `a burst of a tenth of a second passes at once`() {
        var bucket = TokenBucket(rate: ByteCount(1_000_000), now: start)
        #expect(bucket.take(100_000, now: start) == .zero)
        #expect(bucket.take(50_000, now: start) == .milliseconds(50))
    }

    @Test func `what is taken beyond the bucket is paid in time`() {
        var bucket = TokenBucket(rate: ByteCount(1_000_000), now: start)
        #expect(bucket.take(2_100_000, now: start) == .seconds(2))
        #expect(bucket.take(0, now: start + .milliseconds(1500)) == .milliseconds(500))
        #expect(bucket.take(0, now: start + .seconds(3)) == .zero)
    }

    @Test func `a pause gathers no more than the bucket holds`() {
        var bucket = TokenBucket(rate: ByteCount(1_000_000), now: start)
        #expect(bucket.take(0, now: start + .seconds(3600)) == .zero)
        #expect(bucket.take(200_000, now: start + .seconds(3600)) == .milliseconds(100))
    }

    @Test(arguments: [10_000, 1_000_000, 1_000_000_000])
    func `over a long time the rate is the limit`(rate: Int) {
        var bucket = TokenBucket(rate: ByteCount(rate), now: start)
        var now = start
        var sent = 0
        while (now - start) < .seconds(100) {
            let bytes = rate / 20 + sent % 7
            now = now + bucket.take(bytes, now: now)
            sent += bytes
        }
        let achieved = Double(sent) / (now - start).inSeconds
        #expect(abs(achieved / Double(rate) - 1) < 0.01)
    }

    @Test func `a clock that stands still or steps back gives nothing away`() {
        var bucket = TokenBucket(rate: ByteCount(1000), now: start)
        _ = bucket.take(5000, now: start)
        let owed = bucket.take(0, now: start)
        #expect(bucket.take(0, now: MonotonicInstant(nanoseconds: 0)) == owed)
        #expect(bucket.take(0, now: start) == owed)
    }
}

/// A link and two packers of known rates, in bytes a second, and how far the data shrinks.
struct Scene {
    var link: Double
    var speed: [Codec: Double] = [.lz4: 400e6, .zstd: 200e6]
    var ratio: [Codec: Double] = [.lz4: 0.5, .zstd: 0.35]

    /// Sends frames of 256 KiB for `seconds` of the scene's time.
    func run(_ choice: inout CompressionChoice, seconds: Double) {
        let length = 262_144.0
        var time = 0.0
        while time < seconds {
            let codec = choice.codecForNextFrame()
            let packing = codec == .none ? length / 5e9 : length / speed[codec]!
            let wire = codec == .none ? length : length * ratio[codec]!
            choice.packed(
                with: codec, length: Int(length), packedLength: Int(wire), time: .nanoseconds(Int64(packing * 1e9)))
            let sending = wire / link
            let elapsed = max(packing, sending)
            choice.drained(
                bytes: Int(wire), blocked: .nanoseconds(Int64(max(0, sending - packing) * 1e9)),
                elapsed: .nanoseconds(Int64(elapsed * 1e9)))
            time += elapsed
        }
    }
}

@Suite struct CompressionChoiceTests {
    @Test func `a link that never holds the sender back packs nothing`() {
        var choice = CompressionChoice(.auto)
        for _ in 0..<1000 {
            #expect(choice.codecForNextFrame() == .none)
            choice.drained(bytes: 262_144, blocked: .zero, elapsed: .microseconds(100))
        }
        #expect(choice.linkRate == nil)
    }

    @Test(arguments: [
        (1.2e9, Codec.none),  // 10 Gbit/s: plain is faster than any packer
        (125e6, Codec.lz4),  // 1 Gbit/s: lz4 carries 250, zstd 200
        (12.5e6, Codec.zstd),  // 100 Mbit/s: zstd 36, lz4 25
    ])
    func `the codec follows the link`(link: Double, due: Codec) {
        var choice = CompressionChoice(.auto)
        Scene(link: link).run(&choice, seconds: 10)
        #expect(choice.codec == due)
    }

    @Test func `data that does not shrink goes plain however slow the link is`() {
        var choice = CompressionChoice(.auto)
        Scene(link: 12.5e6, ratio: [.lz4: 1, .zstd: 0.99]).run(&choice, seconds: 10)
        #expect(choice.codec == .none)
    }

    @Test func `a small gain changes nothing`() {
        var choice = CompressionChoice(.auto)
        Scene(link: 100e6, ratio: [.lz4: 0.9, .zstd: 0.88]).run(&choice, seconds: 10)
        #expect(choice.codec == .none)
    }

    @Test func `a link that becomes fast again is noticed`() {
        var choice = CompressionChoice(.auto)
        Scene(link: 125e6).run(&choice, seconds: 5)
        #expect(choice.codec == .lz4)
        Scene(link: 2.5e9).run(&choice, seconds: 10)
        #expect(choice.codec == .none)
    }

    @Test func `it does not swing to and fro`() {
        var choice = CompressionChoice(.auto)
        Scene(link: 125e6).run(&choice, seconds: 3)
        var changes = 0
        var last = choice.codec
        for _ in 0..<200 {
            Scene(link: 125e6).run(&choice, seconds: 0.05)
            if choice.codec != last { changes += 1 }
            last = choice.codec
        }
        #expect(changes == 0)
    }

    @Test(arguments: [(CompressionMode.none, Codec.none), (.lz4, .lz4), (.zstd, .zstd)])
    func `a fixed mode stays`(mode: CompressionMode, codec: Codec) {
        var choice = CompressionChoice(mode)
        Scene(link: 12.5e6).run(&choice, seconds: 3)
        #expect(choice.codec == codec)
        #expect(choice.codecForNextFrame() == codec)
    }
}

@Suite struct LinkMeasurementTests {
    @Test func `a burst over loopback finds a rate and a round trip`() throws {
        let hosts = try TwoHosts()
        let (dialled, accepted) = try meet(client: hosts.alpha, server: hosts.beta).both()
        let (alpha, beta) = (Party(dialled), Party(accepted))
        let stream = try Stream()
        let measured = try LinkMeasurement.measure(control: alpha.control, stream: stream.sender, within: .seconds(5))
        #expect(measured.roundTrip > .zero && measured.roundTrip < .seconds(1))
        #expect(try #require(measured.bytesPerSecond) > .mebibytes(5))
        try stream.sender.finish()
        #expect(try stream.end() == nil)
        #expect(stream.sink.state.withLock { $0.bytes } == 0)
        #expect(stream.sender.counters.payloadBytes == .zero)
        alpha.control.close("")
        _ = try beta.end()
    }

    @Test func `a transfer takes its bytes over the rate and a round trip`() {
        let link = LinkMeasurement(roundTrip: .milliseconds(10), bytesPerSecond: ByteCount(1_000_000))
        #expect(link.transferTime(ByteCount(500_000)) == .milliseconds(510))
        #expect(LinkMeasurement(roundTrip: .zero, bytesPerSecond: nil).transferTime(ByteCount(1)) == nil)
    }
}
