import Host
import LabSupport
import Testing

extension InTheLab {
    /// Peers of another version, peers that are none, and bytes that change on their way (Tests/Support/stranger.py).
    @Suite struct Strangers {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        private func stranger(_ words: [String], on host: LabHost) throws -> BackgroundProcess {
            try host.install(lab.support("stranger.py"), at: "/run/lab/stranger.py")
            return try host.start(["python3", "/run/lab/stranger.py"] + words)
        }

        /// Something at the destination's port that takes the agent's place while a container should move there.
        private func stays(
            _ words: [String], port: Int = 7999, codes: Set<Int32>, says due: [String], seen: String? = nil
        ) throws {
            let workload = Tiny("lab-stranger")
            try withWorkload(workload, on: lab.alpha) { world in
                let stranger = try stranger(words, on: lab.beta)
                defer { stranger.stop() }
                try #require(stranger.line { $0 == "ready" } != nil, "\(stranger.errors)")
                let outcome = try Migration(workload.id, from: lab.alpha, to: "\(lab.beta.address):\(port)").outcome()
                if let seen { #expect(stranger.line(within: .seconds(1)) { $0 == seen } != nil, "it did nothing: \(outcome)") }
                stranger.stop()
                if codes.contains(0), outcome.exitCode == 0 { return try expectMoved(outcome, workload, to: lab.beta, world) }
                try expectStayed(outcome, workload, on: lab.alpha, world, codes: codes)
                let error = outcome.report?.error.map { "\($0.what) \($0.why) \($0.hint)" } ?? ""
                for word in due { #expect(error.contains(word), "\(outcome)") }
            }
        }

        @Test(arguments: ["old": "version 0", "new": "version 2"])
        func `an agent of another version is refused in words`(_ kind: String, _ words: String) throws {
            try stays(["listen", "7999", kind], codes: [3], says: [words, "same version"])
        }

        @Test(arguments: ["noise", "closes", "silent", "bad-kind", "too-long", "no-json"])
        func `an agent that speaks nonsense is an error in words`(_ kind: String) throws {
            try stays(["listen", "7999", kind], codes: [3], says: ["10.77.0.2:7999"])
        }

        @Test(arguments: ["old", "new"])
        func `a source of another version is told which one is due`(_ kind: String) throws {
            let stranger = try stranger(["dial", lab.beta.address, "7077", kind], on: lab.alpha)
            defer { stranger.stop() }
            #expect(stranger.line { $0.contains("refused version=1 code=1") } != nil, "\(stranger.lines) \(stranger.errors)")
        }

        @Test(arguments: ["bad-kind", "too-long", "no-json"])
        func `a source that speaks nonsense is sent away and leaves nothing`(_ kind: String) throws {
            let world = try World()
            let stranger = try stranger(["dial", lab.beta.address, "7077", kind], on: lab.alpha)
            defer { stranger.stop() }
            #expect(stranger.line { $0.hasPrefix("closed") } != nil, "\(stranger.lines) \(stranger.errors)")
            stranger.stop()
            let left = try world.leftovers(of: "nobody")
            #expect(left == [])
        }

        /// Behind the preamble, in the handshake and in the middle of messages, of pages, of files, and on the way back.
        @Test(arguments: ["1 100", "1 4000", "2 200", "2 20000", "3 3000", "1 -3000"])
        func `a bit that changes on its way is noticed and costs nothing`(_ place: String) throws {
            let place = place.split(separator: " ").map(String.init)
            // What broke while the container runs is made again, on connections of its own; where it doesn't, it stays.
            try stays(
                ["between", "7998", "127.0.0.1", "7077"] + place, port: 7998, codes: [0, 3, 4], says: [], seen: "flipped")
        }
    }
}
