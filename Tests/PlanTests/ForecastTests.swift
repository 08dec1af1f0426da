import Model
import Testing

@testable import Plan

/// What a freeze would cost, from figures alone.
@Suite struct ForecastTests {
    static let fixed = Forecast.FixedCosts(dumpAndShip: 16.5, finalScan: 1, restore: 20)

    /// 25,000 pages of content over 100 MB/s.
    static let round = RoundReport(pages: 25_000, bytesSent: 102_400_000, durationMS: 1024, dirtyPages: 5000)

    static func learned(_ rounds: [RoundReport], bandwidth: ByteCount? = nil) -> Forecast {
        var forecast = Forecast(fixed: fixed, bandwidth: bandwidth)
        for round in rounds { forecast.learn(round) }
        return forecast
    }

    @Test func `the rate is what the rounds have shown, and bandwidth caps it`() {
        #expect(abs(Self.learned([Self.round]).rate - 100_000_000) < 1)
        #expect(Self.learned([Self.round], bandwidth: ByteCount(5_000_000)).rate == 5_000_000)
        #expect(Self.learned([]).rate == Forecast.assumedRate)
    }

    @Test func `a link that became slower is believed after two rounds`() {
        let slow = RoundReport(pages: 25_000, bytesSent: 102_400_000, durationMS: 4096, dirtyPages: 5000)
        let rate = Self.learned([Self.round, slow, slow]).rate
        #expect(rate < 30_000_000, "\(rate)")
    }

    @Test func `one burst through a full bucket does not make a fast link`() {
        let burst = RoundReport(pages: 300, bytesSent: 1_200_000, durationMS: 1, dirtyPages: 300)
        let rate = Self.learned([Self.round, burst]).rate
        #expect(rate < 110_000_000, "\(rate)")
    }

    @Test func `tiny rounds say nothing of the link`() {
        let tiny = RoundReport(pages: 10, bytesSent: 40_960, durationMS: 100, dirtyPages: 10)
        #expect(Self.learned([tiny]).rate == Forecast.assumedRate)
    }

    @Test func `pages that compress or repeat count for what they cost on the wire`() {
        let half = RoundReport(pages: 25_000, bytesSent: 51_200_000, durationMS: 512, dirtyPages: 5000)
        // 5000 pages of 2048 bytes at 100 MB/s: 102.4 ms, the scan before and the restore behind.
        #expect(abs(Self.learned([half]).downtime(dirtyPages: 5000) - 123.4) < 0.1)
        // Zero pages of the first round are no measure for pages that are written to.
        let zeros = RoundReport(pages: 50_000, bytesSent: 102_400_000, durationMS: 1024, dirtyPages: 5000, zeroPages: 25_000)
        #expect(abs(Self.learned([zeros]).bytesPerPage - 4096) < 1)
    }

    @Test func `few dirty pages fit beside the dump and cost nothing`() {
        #expect(Self.learned([Self.round]).downtime(dirtyPages: 0) == 36.5)
        #expect(Self.learned([Self.round]).downtime(dirtyPages: 300) == 36.5)
    }

    @Test func `in the middle of a round both what is left and what gets dirty count`() {
        let forecast = Self.learned([Self.round])
        let begin = forecast.downtime(remaining: 10_000, elapsed: 0)
        let middle = forecast.downtime(remaining: 5000, elapsed: 200)
        let end = forecast.downtime(remaining: 0, elapsed: 400)
        #expect(begin > middle && middle > end)
        #expect(abs(begin - forecast.downtime(dirtyPages: 10_000)) < 0.001)
        // 5000 pages in 1024 ms: 1953 in 400.
        #expect(abs(end - forecast.downtime(dirtyPages: 1953)) < 0.1)
        // More than there is can't be dirty.
        #expect(forecast.downtime(remaining: 0, elapsed: 1e9) == forecast.downtime(dirtyPages: 25_000))
    }

    @Test func `before any round ended the rest of the first is what counts`() {
        let fresh = Self.learned([])
        #expect(fresh.downtime(remaining: 1000, elapsed: 5000) == fresh.downtime(dirtyPages: 1000))
    }

    @Test func `until a round has told a rate the counters may`() {
        var forecast = Self.learned([])
        forecast.assume(rate: 10_000_000)
        #expect(forecast.rate == 10_000_000)
        forecast.learn(Self.round)
        forecast.assume(rate: 1)
        #expect(abs(forecast.rate - 100_000_000) < 1)
    }

    @Test func `the time to go follows from the rate`() {
        #expect(abs(Self.learned([Self.round]).time(toSend: 25_000) - 1024) < 0.1)
    }
}
