import Model

/// What a method would cost: a line of `martlet plan`.
public struct MethodPrediction: Hashable, Sendable, Codable {
    public var method: String
    /// From the start to the end, with the fill and the clearing up.
    public var totalMS: Double
    /// From the freeze to the thaw.
    public var downtimeMS: Double
    /// Rounds before the freeze.
    public var rounds: Int
    /// How it would end, as the result's `decision` says it; absent for methods without a choice.
    public var how: String?

    private enum CodingKeys: String, CodingKey {
        case method, rounds, how
        case totalMS = "total_ms"
        case downtimeMS = "downtime_ms"
    }
}

/// Predicts every method from one measurement. Pure: the rounds are played through with the very rules that end real ones
/// (`Convergence`), on the curve by which the workload dirties pages.
public struct Prediction: Sendable {
    let measured: PlanMeasurement
    let options: MigrationOptions
    let costs: PlanCosts

    public init(_ measured: PlanMeasurement, options: MigrationOptions, costs: PlanCosts = PlanCosts()) {
        (self.measured, self.options, self.costs) = (measured, options, costs.slowed(by: measured.busy))
    }

    /// What can be predicted, in the order of the table.
    public static let methods: [Method] = Method.allCases.filter(\.isSupported)

    public func all() -> [MethodPrediction] { Self.methods.map(of) }

    public func of(_ method: Method) -> MethodPrediction {
        switch method {
        case .stopCopy: frozen(method, downtime: costs.openStreams + freeze(sending: measured.contentPages))
        case .postCopy: behind(method, rounds: Rounds(), left: measured.contentPages)
        case .pageServer:
            frozen(
                method,
                downtime: skeleton + costs.pageServer + bytes(measured.contentPages) / pageServerRate * 1000
                    + imageRestore(bytes(measured.contentPages)), fills: false)
        case .auto, .preCopy, .preCopyPageServer, .hybrid, .replay: inRounds(method)
        }
    }

    // MARK: rates and parts

    private func bytes(_ pages: Int) -> Double { Double(pages * pageSize) }
    private var gigabytes: Double { bytes(measured.pages) / 1e9 }
    private var cap: Double { options.bandwidth.map { Double($0.rawValue) } ?? .infinity }
    private var link: Double {
        let wire = measured.linkRate ?? Forecast.assumedRate
        return min(wire > costs.processorBoundLink ? .infinity : wire, cap)
    }
    /// Of pages on Martlet's streams: the slower of the link and of what both programs do with a page.
    var rate: Double { min(link, costs.pageRate) }
    private var frozenRate: Double { min(link, costs.frozenPageRate) }
    private var pageServerRate: Double { min(link, costs.pageServerRate) }
    private func time(_ pages: Int) -> Double { bytes(pages) / rate * 1000 }

    private var dump: Double {
        costs.dump + costs.dumpPerProcess * Double(measured.processes - 1)
            + Double(measured.otherBytes.rawValue) / rate * 1000
    }
    private var restore: Double {
        costs.restore + costs.restorePerProcess * Double(measured.processes - 1)
            + imageRestore(Double(measured.otherBytes.rawValue))
    }
    private func imageRestore(_ bytes: Double) -> Double {
        let first = min(bytes, 200e6)
        return (first / costs.imageRestoreRate + (bytes - first) / costs.largeImageRestoreRate) * 1000
    }
    private var scan: Double { costs.scanPerGB * gigabytes }
    private var skeleton: Double { dump + restore }
    private var clean: Double { costs.clean + costs.cleanPerGB * gigabytes }
    private var fill: Double { costs.fillStart + bytes(measured.contentPages) / costs.fillRate * 1000 }

    /// The last pages go beside the dump.
    private func freeze(sending pages: Int) -> Double { max(dump, scan + bytes(pages) / frozenRate * 1000) + restore }

    // MARK: methods

    private func frozen(_ method: Method, downtime: Double, fills: Bool = true) -> MethodPrediction {
        MethodPrediction(
            method: method.rawValue, totalMS: costs.prepare + costs.standBy + downtime + (fills ? fill : 0) + clean,
            downtimeMS: downtime, rounds: 0, how: nil)
    }

    /// Pages follow after the release, as fast as they can be sent and put in place.
    private func behind(_ method: Method, rounds: Rounds, left: Int) -> MethodPrediction {
        let begun = rounds.count == 0 ? costs.prepare + costs.standBy : costs.prepare + rounds.milliseconds
        let downtime = max(dump, scan) + restore + (rounds.count == 0 ? costs.openStreams : 0)
        // What comes is put in place by the same processors.
        let filling = fill + time(left)
        return MethodPrediction(
            method: method.rawValue, totalMS: begun + downtime + filling + clean, downtimeMS: downtime, rounds: rounds.count,
            how: FreezeDecision.How.postCopy.rawValue)
    }

    private func inRounds(_ method: Method) -> MethodPrediction {
        let rounds = play(method)
        if rounds.how == .postCopy { return behind(method, rounds: rounds, left: rounds.dirty) }
        let downtime =
            method == .preCopyPageServer
            ? scan + dump + costs.pageServer + bytes(rounds.dirty) / pageServerRate * 1000 + restore
            : freeze(sending: rounds.dirty)
        return MethodPrediction(
            method: method.rawValue, totalMS: costs.prepare + rounds.milliseconds + downtime + fill + clean,
            downtimeMS: rounds.how == .giveUp ? 0 : downtime, rounds: rounds.count, how: rounds.how.rawValue)
    }

    /// What the rounds came to.
    private struct Rounds {
        var count = 0
        var milliseconds = 0.0
        /// At the freeze.
        var dirty = 0
        var how = FreezeDecision.How.preCopy
    }

    /// As `SourceMachine.copying` does it: the companions are asked for when a second round begins, and a round follows them.
    private func play(_ method: Method) -> Rounds {
        var options = options
        options.method = method
        var convergence = Convergence(
            options: options, canFetchLater: true,
            fixed: .init(dumpAndShip: dump, finalScan: 1 + scan, restore: restore), linkRate: rate)
        var rounds = Rounds()
        var pages = measured.contentPages
        var ready: Double?
        while true {
            let took = costs.round + time(pages)
            rounds.milliseconds += took
            rounds.count += 1
            rounds.dirty = measured.dirty(after: took)
            let decision = convergence.roundFinished(
                RoundReport(pages: pages, bytesSent: pages * pageSize, durationMS: took, dirtyPages: rounds.dirty))
            pages = rounds.dirty
            if decision == .anotherRound || ready == nil && rounds.count < options.maxRounds {
                if ready == nil { ready = rounds.milliseconds + costs.standBy }
                // Nobody wants another round but the companions that aren't there yet.
                if decision != .anotherRound { pages = wait(for: ready, &rounds, after: took) }
                continue
            }
            if let ready, ready > rounds.milliseconds, rounds.count < options.maxRounds {
                pages = wait(for: ready, &rounds, after: took)
                continue
            }
            rounds.milliseconds = max(rounds.milliseconds, ready ?? rounds.milliseconds + costs.standBy)
            rounds.how = convergence.choice(decision, dirtyPages: rounds.dirty)?.how ?? .preCopy
            return rounds
        }
    }

    /// - Returns: pages that are dirty when the companions are there.
    private func wait(for ready: Double?, _ rounds: inout Rounds, after took: Double) -> Int {
        let pause = max(0, (ready ?? 0) - rounds.milliseconds)
        rounds.milliseconds += pause
        return measured.dirty(after: took + pause)
    }
}
