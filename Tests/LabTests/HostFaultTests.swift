import Host
import LabSupport
import Testing

extension InTheLab {
    /// What is wrong with a host before or while it is asked.
    @Suite struct HostFaults {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        /// A container that stays where it is when `prepare` has made something wrong.
        private func stays(
            options: [String] = [], to address: String? = nil, codes: Set<Int32> = [3, 4], says words: String? = nil,
            after prepare: () throws -> Void, mend: () throws -> Void
        ) throws {
            let workload = Tiny("lab-stays")
            try withWorkload(workload, on: lab.alpha) { world in
                try prepare()
                let outcome: Migration.Outcome
                do {
                    outcome = try Migration(workload.id, from: lab.alpha, to: address ?? lab.beta.address, options: options)
                        .outcome()
                } catch {
                    try mend()
                    throw error
                }
                try mend()
                try expectStayed(outcome, workload, on: lab.alpha, world, codes: codes)
                if let words {
                    let error = outcome.report?.error.map { "\($0.what) \($0.why) \($0.hint)" } ?? ""
                    #expect("\(error) \(outcome.events.compactMap(\.what))".lowercased().contains(words), "\(outcome)")
                }
                // And when all is well again it moves.
                try expectMoved(try lab.migrate(workload.id, from: lab.alpha), workload, to: lab.beta, world)
            }
        }

        @Test func `an unknown container is refused`() throws {
            let outcome = try lab.migrate("nobody", from: lab.alpha)
            #expect(outcome.exitCode == 3 && outcome.report?.outcome == "refused", "\(outcome)")
            #expect(outcome.report?.error?.hint.isEmpty == false, "\(outcome)")
        }

        @Test func `a stopped container is refused`() throws {
            let workload = Tiny("lab-stopped")
            try withWorkload(workload, on: lab.alpha) { _ in
                try lab.alpha.shell(
                    "runc kill \(workload.id) KILL; for i in $(seq 100); do runc state \(workload.id) | grep -q stopped && break; sleep 0.05; done"
                )
                let outcome = try lab.migrate(workload.id, from: lab.alpha)
                #expect(outcome.exitCode == 3, "\(outcome)")
            }
        }

        @Test func `a destination that does not exist is an error in words`() throws {
            try stays(to: "10.77.0.77", says: "10.77.0.77", after: {}, mend: {})
        }

        @Test func `a destination without an agent is an error in words`() throws {
            try stays(
                after: { try lab.beta.shell("kill -9 \"$(cat /run/martlet-agent.pid)\"; sleep 0.2") },
                mend: { try lab.up() })
        }

        // MARK: certificates

        private func withCredentials(_ change: String, says words: String) throws {
            try stays(
                says: words,
                after: { try lab.alpha.shell("cp -a /etc/martlet /run/lab-credentials\n\(change)") },
                mend: {
                    try lab.alpha.shell(
                        "rm -rf /etc/martlet; cp -a /run/lab-credentials /etc/martlet; rm -rf /run/lab-credentials")
                })
        }

        @Test func `a certificate of another authority is not taken`() throws {
            try withCredentials(
                """
                martlet certs init --directory /run/lab-other >/dev/null
                martlet certs issue alpha --directory /run/lab-other --address \(lab.alpha.address) --out /etc/martlet >/dev/null
                rm -rf /run/lab-other
                """, says: "certificate")
        }

        @Test func `a certificate of another authority that trusts ours is not taken either`() throws {
            try withCredentials(
                """
                martlet certs init --directory /run/lab-other >/dev/null
                martlet certs issue alpha --directory /run/lab-other --address \(lab.alpha.address) --out /run/lab-other/out >/dev/null
                cp /run/lab-other/out/host.pem /run/lab-other/out/host.key /etc/martlet/
                rm -rf /run/lab-other
                """, says: "certificate")
        }

        @Test func `a missing certificate is an error in words`() throws {
            try withCredentials("rm /etc/martlet/host.pem /etc/martlet/host.key", says: "host.")
        }

        @Test func `an expired certificate is not taken`() throws {
            try stays(
                says: "expired",
                after: {
                    try lab.alpha.shell("cp -a /etc/martlet /run/lab-credentials")
                    try lab.issueCertificate(for: lab.alpha, days: -1)
                },
                mend: {
                    try lab.alpha.shell(
                        "rm -rf /etc/martlet; cp -a /run/lab-credentials /etc/martlet; rm -rf /run/lab-credentials")
                })
        }

        // MARK: room

        @Test func `a destination whose disk is full refuses or rolls back`() throws {
            try stays(
                after: { try lab.beta.shell("mount -t tmpfs -o size=256k lab-small /data") },
                mend: { try lab.beta.shell("umount -l /data") })
        }

        /// What the pre-flight found free is full when it is needed.
        @Test(arguments: ["/data", "/var/lib/martlet"])
        func `a disk that fills up in the middle rolls back`(_ path: String) throws {
            let workload = Tiny("lab-full")
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address, fault: "source.prepare.hold")
                try #require(try Migration.isHeld(on: lab.alpha))
                // Room for names, not for what is in them.
                try lab.beta.shell("mount -t tmpfs -o size=4k lab-small \(path); head -c 4096 /dev/zero >\(path)/fill")
                try Migration.letGo(on: lab.alpha)
                let outcome = try? migration.outcome()
                try lab.beta.shell("umount -l \(path)")
                try expectStayed(try #require(outcome), workload, on: lab.alpha, world, codes: [4])
                #expect(outcome?.report?.error?.why.contains("No space left") == true, "\(String(describing: outcome))")
            }
        }

        /// Images, and pages on their way into them, lie below /run.
        @Test(arguments: ["prepare", "copy", "freeze"])
        func `a run folder that fills up in the middle rolls back`(_ phase: String) throws {
            let workload = Tiny("lab-full-run")
            try withWorkload(workload, on: lab.alpha) { world in
                let migration = try Migration(
                    workload.id, from: lab.alpha, to: lab.beta.address, fault: "source.\(phase).hold")
                try #require(try Migration.isHeld(on: lab.alpha))
                try lab.beta.shell("mount -o remount,size=$(($(df -k --output=used /run | tail -1) + 8))k /run")
                try Migration.letGo(on: lab.alpha)
                let outcome = try? migration.outcome()
                try lab.beta.shell("mount -o remount,size=50% /run")
                try expectStayed(try #require(outcome), workload, on: lab.alpha, world, codes: [4])
                #expect(outcome?.report?.error?.why.contains("No space left") == true, "\(String(describing: outcome))")
            }
        }

        @Test func `a destination with too little memory refuses`() throws {
            let workload = Redis("lab-no-memory", memory: "64M")
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.beta.shell(
                    "sed -E 's/^(MemAvailable|MemFree|SwapFree): .*/\\1: 20000 kB/' /proc/meminfo >/run/lab-meminfo; mount --bind /run/lab-meminfo /proc/meminfo"
                )
                let outcome = try? lab.migrate(workload.id, from: lab.alpha)
                try lab.beta.shell("umount /proc/meminfo; rm /run/lab-meminfo")
                try expectStayed(try #require(outcome), workload, on: lab.alpha, world, codes: [3])
            }
        }

        // MARK: cgroups

        @Test func `an empty cgroup that was left frozen at the destination does not disturb`() throws {
            let workload = Tiny("lab-left")
            try withWorkload(workload, on: lab.alpha) { world in
                try lab.beta.shell("mkdir -p /sys/fs/cgroup/lab-left/inner; echo 1 >/sys/fs/cgroup/lab-left/cgroup.freeze")
                try expectMoved(try lab.migrate(workload.id, from: lab.alpha), workload, to: lab.beta, world)
                try expectNothingLeft(by: workload, world)
            }
        }

        @Test func `a cgroup at the destination that somebody lives in is refused`() throws {
            let group = "/sys/fs/cgroup/lab-stays"
            try stays(
                codes: [3], says: "cgroup",
                after: {
                    try lab.beta.shell(
                        "mkdir \(group); sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >\(group)/cgroup.procs")
                },
                mend: {
                    try lab.beta.shell(
                        "echo 1 >\(group)/cgroup.kill; for i in $(seq 100); do rmdir \(group) 2>/dev/null && exit 0; sleep 0.05; done; exit 1"
                    )
                })
        }

        // MARK: CRIU

        private static let misbehaviours = [
            "exit 1", "exec sleep 1000", "echo no >&2; kill -SEGV $$",
        ]

        /// A program that takes CRIU's place, first in everybody's PATH.
        private func withCRIU(_ behaviour: String, on host: LabHost) throws {
            try stays(
                options: ["--timeout", "20"],
                after: {
                    try host.shell(
                        "printf '#!/bin/sh\\n%s\\n' '\(behaviour)' >/usr/local/sbin/criu; chmod 755 /usr/local/sbin/criu")
                },
                mend: { try host.shell("rm -f /usr/local/sbin/criu") })
        }

        @Test(arguments: misbehaviours)
        func `a CRIU that misbehaves at the source costs nothing`(_ behaviour: String) throws {
            try withCRIU(behaviour, on: lab.alpha)
        }

        @Test(arguments: misbehaviours)
        func `a CRIU that misbehaves at the destination costs nothing`(_ behaviour: String) throws {
            try withCRIU(behaviour, on: lab.beta)
        }

        @Test(arguments: ["alpha", "beta"])
        func `a host without CRIU is refused`(_ name: String) throws {
            let host = name == "alpha" ? lab.alpha : lab.beta
            try stays(
                codes: [3], says: "criu",
                after: { try host.shell("mv /usr/sbin/criu /usr/sbin/criu.away") },
                mend: { try host.shell("mv /usr/sbin/criu.away /usr/sbin/criu") })
        }

        @Test func `a stranger's words do not harm the agent`() throws {
            try stays(
                to: "10.77.0.77",
                after: {
                    for words in [
                        "head -c 5 /dev/urandom", "head -c 4096 /dev/urandom", "printf 'GET / HTTP/1.1\\r\\n\\r\\n'", "true",
                    ] {
                        try lab.client.shell("\(words) | timeout 3 nc -N \(lab.beta.address) 7077 >/dev/null || true")
                    }
                }, mend: {})
        }
    }
}
