import Host
import LabSupport
import Testing

extension InTheLab {
    /// A container's addresses move with it, IPv6 too, and the network hears of it at once.
    @Suite struct AddressMoves {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        static let six = "fd4d:6c::1:13", four = "10.77.1.18"
        /// Whose frames nobody takes.
        private static let wrong = "02:00:00:00:00:99"

        /// A redis with both kinds of address, and a client on the same network.
        private func withAddresses(_ body: (Redis, World) throws -> Void) throws {
            let workload = Redis("lab-six", memory: "8M", address: Self.four)
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.alpha.shell("ip -n \(workload.id) address add \(Self.six)/64 dev eth0 nodad")
                try lab.client.shell(
                    "ip -6 address add fd4d:6c::c/64 dev \"$(ip -4 -o address show to 10.77.0.0/16 | awk '{print $2; exit}')\" nodad"
                )
                defer { _ = try? lab.client.run(["sh", "-c", "ip -6 address flush to fd4d:6c::/64"]) }
                try body(workload, world)
            }
        }

        private func reach(_ address: String) throws {
            let answers: Bool? = try eventually(.seconds(10)) {
                try lab.client.run(["ping", "-c", "1", "-W", "1", address]).status.isSuccess ? true : nil
            }
            #expect(answers != nil, "\(address) does not answer")
        }

        /// Makes the client believe in another hardware address, which an announcement corrects and silence doesn't.
        private func mislead(_ address: String) throws {
            try lab.client.shell(
                "ip neighbour replace \(address) lladdr \(Self.wrong) nud reachable dev \"$(ip -4 -o address show to 10.77.0.0/16 | awk '{print $2; exit}')\""
            )
        }

        private func believed(_ address: String) throws -> String {
            try lab.client.shell("ip neighbour show to \(address) | grep -o 'lladdr [0-9a-f:]*' || true")
        }

        @Test func `both kinds of address answer at the destination and are announced there`() throws {
            try withAddresses { workload, world in
                for host in [lab.beta, lab.alpha] {
                    for address in [Self.six, Self.four] {
                        try reach(address)
                        try mislead(address)
                    }
                    try expectMoved(try lab.migrate(workload.id, from: lab.other(host)), workload, to: host, world)
                    for address in [Self.six, Self.four] {
                        let now = try believed(address)
                        #expect(!now.contains(Self.wrong) && !now.isEmpty, "\(address) at \(host) was not announced: \(now)")
                        try reach(address)
                    }
                    let inside = try host.shell("ip -n \(workload.id) -6 address show dev eth0 scope global")
                    #expect(inside.contains("\(Self.six)/64"), "\(inside)")
                }
                try expectNothingLeft(by: workload, world)
            }
        }

        /// Ports are opened and addresses announced by a process that did not make them.
        @Test func `a session that took over announces the addresses too`() throws {
            try withAddresses { workload, world in
                for address in [Self.six, Self.four] {
                    try reach(address)
                    try mislead(address)
                }
                try lab.beta.write("destination.release.kill", to: "/run/martlet/fault")
                let outcome = try lab.migrate(workload.id, from: lab.alpha)
                try expectMoved(outcome, workload, to: lab.beta, world)
                for address in [Self.six, Self.four] {
                    let now = try believed(address)
                    #expect(!now.contains(Self.wrong) && !now.isEmpty, "\(address) was not announced: \(now)")
                    try reach(address)
                }
                try expectNothingLeft(by: workload, world)
            }
        }
    }
}
