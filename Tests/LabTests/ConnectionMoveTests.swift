import Host
import LabSupport
import Testing

extension InTheLab {
    /// Open connections move with their container: nothing is reset, lost, doubled or out of order, whatever becomes of the move.
    @Suite struct ConnectionMoves {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        /// Both ways with clients that stay connected all the time.
        private func thereAndBack(_ workload: Sockets, options: [String] = []) throws {
            try withWorkload(workload, on: lab.alpha) { world in
                try workload.beginLoad()
                defer { try? workload.endLoad() }
                try expectMoved(try lab.migrate(workload.id, from: lab.alpha, options: options), workload, to: lab.beta, world)
                try expectMoved(try lab.migrate(workload.id, from: lab.beta, options: options), workload, to: lab.alpha, world)
                try workload.endLoad()
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test(arguments: Sockets.Kind.allCases) func `connections stay open there and back`(_ kind: Sockets.Kind) throws {
            try thereAndBack(Sockets("lab-sockets", kinds: [kind]))
        }

        @Test func `all kinds of connections at once stay open`() throws { try thereAndBack(Sockets("lab-sockets")) }

        @Test func `a thousand idle connections stay open`() throws {
            let workload = Sockets("lab-sockets", kinds: [.closed], idle: 1000)
            try thereAndBack(workload)
            #expect(workload.report?.idle == 1000)
        }

        /// Memory all in the images, over CRIU's own ways: the network is cut in the same place.
        @Test func `connections stay open when everything is copied frozen`() throws {
            try thereAndBack(Sockets("lab-sockets", kinds: [.closed, .fresh]), options: ["--method", "stop-copy"])
        }

        @Test(arguments: [
            "source.cut.fail", "source.freeze.fail", "source.capture.kill-criu", "source.ship.cut-link",
            "source.restore.cut-link",
        ])
        func `a migration that fails costs its clients nothing but time`(_ fault: String) throws {
            let workload = Sockets("lab-sockets", kinds: [.closed, .open, .fresh, .datagrams, .half])
            try withWorkload(workload, on: lab.alpha) { world in
                try workload.beginLoad()
                defer { try? workload.endLoad() }
                let outcome = try lab.migrate(workload.id, from: lab.alpha, fault: fault)
                try lab.recover()
                try expectStayed(outcome, workload, on: lab.alpha, world)
                // And it can still move.
                try expectMoved(try lab.migrate(workload.id, from: lab.alpha), workload, to: lab.beta, world)
                try workload.endLoad()
                try expectNothingLeft(by: workload, world)
            }
        }

        /// The guardian gives the container its network back, newcomers included; what was captured died with the process.
        @Test func `a source that is killed keeps its connections`() throws {
            let workload = Sockets("lab-sockets", kinds: [.closed, .open, .half])
            try withWorkload(workload, on: lab.alpha) { world in
                try workload.beginLoad()
                defer { try? workload.endLoad() }
                _ = try lab.migrate(workload.id, from: lab.alpha, fault: "source.capture.kill")
                try lab.recover()
                try expectOnly(workload, on: lab.alpha, world)
                try workload.endLoad()
                try workload.verify(on: lab.alpha)
                try expectNothingLeft(by: workload, world)
            }
        }
    }
}
