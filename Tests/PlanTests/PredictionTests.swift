import Model
import Testing

@testable import Plan

/// What `martlet plan` makes of a measurement.
@Suite struct PredictionTests {
    /// 100 MB, and a writer that rewrites a tenth of it again and again.
    static func measured(
        pages: Int = 25_000, share: Double = 1, link: Double? = 1e9, dirtied: [(Double, Int)] = [(100, 1000), (1000, 2500)]
    ) -> PlanMeasurement {
        PlanMeasurement(
            pages: pages, contentShare: share, otherBytes: .zero, processes: 1, linkRate: link,
            dirtied: dirtied.map { .init(milliseconds: $0.0, pages: $0.1) })
    }

    private func predict(
        _ method: Plan.Method, _ measured: PlanMeasurement = measured(), _ change: (inout MigrationOptions) -> Void = { _ in }
    ) -> MethodPrediction {
        var options = MigrationOptions()
        change(&options)
        return Prediction(measured, options: options).of(method)
    }

    @Test func `dirty pages lie on the curve, and are never more than there are`() {
        let curve = Self.measured()
        #expect(curve.dirty(after: 0) == 0)
        #expect(curve.dirty(after: 50) == 500)
        #expect(curve.dirty(after: 100) == 1000)
        #expect(curve.dirty(after: 550) == 1750)
        #expect(curve.dirty(after: 2000) == 4166 || curve.dirty(after: 2000) == 4167)
        #expect(curve.dirty(after: 1e9) == 25_000)
        #expect(Self.measured(dirtied: []).dirty(after: 1000) == 0)
        #expect(curve.dirtyRate == 2500)
    }

    @Test func `every method that can be done has a line`() {
        let all = Prediction(Self.measured(), options: MigrationOptions()).all()
        #expect(all.map(\.method) == Plan.Method.allCases.filter(\.isSupported).map(\.rawValue))
        for one in all { #expect(one.downtimeMS > 0 && one.totalMS > one.downtimeMS, "\(one)") }
    }

    @Test func `methods stand in the order that theory has`() {
        let (stop, server) = (predict(.stopCopy), predict(.pageServer))
        let (pre, post, hybrid) = (predict(.preCopy), predict(.postCopy), predict(.hybrid))
        #expect(pre.downtimeMS < stop.downtimeMS && stop.downtimeMS < server.downtimeMS)
        #expect(post.downtimeMS < stop.downtimeMS && hybrid.downtimeMS <= pre.downtimeMS)
        #expect(pre.rounds >= 2 && stop.rounds == 0 && post.rounds == 0)
        #expect(predict(.preCopyPageServer).downtimeMS > pre.downtimeMS)
    }

    @Test func `busy processors lengthen what shares them, and not the skeleton's freeze`() {
        var busy = Self.measured()
        busy.busy = 1
        #expect(predict(.pageServer, busy).downtimeMS > predict(.pageServer).downtimeMS * 1.5)
        #expect(predict(.preCopy, busy).totalMS > predict(.preCopy).totalMS * 1.3)
        let (idle, loaded) = (predict(.postCopy), predict(.postCopy, busy))
        #expect(idle.downtimeMS == loaded.downtimeMS && idle.totalMS < loaded.totalMS)
    }

    @Test func `a slow link lengthens what it carries`() {
        let slow = Self.measured(link: 10e6)
        #expect(predict(.stopCopy, slow).downtimeMS > 10_000)
        #expect(predict(.preCopy, slow, { $0.maxRounds = 4 }).totalMS > 10_000)
        #expect(predict(.postCopy, slow).downtimeMS < 150 && predict(.postCopy, slow).totalMS > 10_000)
        // A limit of the person's counts like a link.
        #expect(predict(.stopCopy, Self.measured()) { $0.bandwidth = ByteCount(10_000_000) }.downtimeMS > 10_000)
    }

    @Test func `zeros do not travel, and an idle container is frozen for its skeleton`() {
        #expect(predict(.stopCopy, Self.measured(share: 0.1)).downtimeMS < predict(.stopCopy).downtimeMS / 2)
        let idle = predict(.preCopy, Self.measured(dirtied: [(2000, 0)]))
        #expect(idle.downtimeMS == predict(.hybrid, Self.measured(dirtied: [(2000, 0)])).downtimeMS)
        #expect(idle.rounds == 2)
    }

    @Test func `a writer faster than the link ends as a migration would`() {
        let furious = Self.measured(link: 20e6, dirtied: [(10, 5000), (100, 25_000)])
        #expect(predict(.auto, furious) { $0.downtimeLimit = 100 }.how == "post-copy")
        let forced = predict(.preCopy, furious) { $0.downtimeLimit = 100 }
        #expect(forced.how == "stop-copy" && forced.downtimeMS > 1000)
    }
}
