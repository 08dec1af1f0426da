import LabSupport
import Testing

extension InTheLab {
    /// The tests' own tools, without martlet: a workload that stays where it is must be found in good order, and a leftover must be found.
    @Suite struct Support {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        @Test(arguments: Kind.allCases)
        func `a workload that stays is found in good order`(_ kind: Kind) throws {
            let workload = kind.make()
            try withWorkload(workload, on: lab.alpha) { world in
                if kind.takesLoad { try workload.beginLoad() }
                try workload.verify(on: lab.alpha)
                try workload.endLoad()
                try workload.verify(on: lab.alpha)
                try expectOnly(workload, on: lab.alpha, world)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `what is left behind is found`() throws {
            let workload = Tiny("lab-left")
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.beta.shell("mkdir -p /run/martlet/left; mkdir /sys/fs/cgroup/left; ip netns add left")
                let left = try world.leftovers(of: workload.id, within: .seconds(1))
                try lab.beta.shell("rmdir /run/martlet/left /sys/fs/cgroup/left; ip netns del left")
                for due in ["file /run/martlet/left", "cgroup /left", "file /run/netns/left"] {
                    #expect(left.contains("beta: \(due)"), "\(left)")
                }
            }
        }

        @Test func `a copy that is frozen or a second one is found`() throws {
            let workload = Tiny("lab-frozen")
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.alpha.shell("runc pause \(workload.id)")
                #expect(throws: LabError.self) { try world.onlyHost(of: workload.id, within: .seconds(1)) }
                try lab.alpha.shell("runc resume \(workload.id)")
                let twin = Tiny(workload.id)
                try twin.start(on: lab.beta)
                #expect(throws: LabError.self) { try world.onlyHost(of: workload.id, within: .seconds(1)) }
            }
        }
    }
}
