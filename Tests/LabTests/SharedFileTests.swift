import Host
import LabSupport
import Testing

extension InTheLab {
    /// Files in a container's own tmpfs, such as /dev/shm.
    @Suite struct SharedFiles {
        let lab: Lab
        init() throws { lab = try InTheLab.ready() }

        /// Of a container with shell and mount points of its own.
        private func inside(_ id: String, _ host: LabHost, _ script: String) throws -> String {
            try host.shell("runc exec \(id) busybox sh -c '\(script)'")
        }

        @Test func `names, owners, times, limits and deleted files come along, and the file system stays what it was`() throws {
            let tiny = Tiny("lab-shm")
            try withWorkload(tiny, on: lab.alpha) { world in
                _ = try inside(
                    tiny.id, lab.alpha,
                    """
                    cd /dev/shm; busybox mkdir -p d/e; echo text >d/e/f; busybox ln d/e/f hard; busybox ln -s d soft; \
                    busybox mkfifo pipe; busybox chown 12:34 hard; busybox chmod 640 hard; busybox touch -d "2020-02-02 02:02:02" hard; \
                    busybox dd if=/dev/urandom of=large bs=1M count=20; busybox chmod 1770 .
                    """)
                let look =
                    "cd /dev/shm; busybox ls -lanR . | busybox grep -v total; busybox md5sum large d/e/f; busybox grep shm /proc/mounts"
                let before = try inside(tiny.id, lab.alpha, look)
                for destination in [lab.beta, lab.alpha] {
                    try expectMoved(try lab.migrate(tiny.id, from: lab.other(destination)), tiny, to: destination, world)
                    let after = try inside(tiny.id, destination, look)
                    #expect(after == before)
                }
                try expectNothingLeft(by: tiny, world)
            }
        }

        @Test(arguments: ["stop-copy", "post-copy", "page-server"])
        func `every method carries them`(_ method: String) throws {
            let stamper = Stamper("lab-shm-\(method)", megabytes: 32)
            try withWorkload(stamper, on: lab.alpha) { world in
                let outcome = try lab.migrate(stamper.id, from: lab.alpha, options: ["--method", method])
                try expectMoved(outcome, stamper, to: lab.beta, world)
                try expectNothingLeft(by: stamper, world)
            }
        }

        @Test(arguments: [
            "source.capture.fail", "destination.restore.fail", "destination.restore.kill", "source.ship.kill",
            "destination.copy.fail",
        ])
        func `a move that fails leaves the source as it was and the destination clean`(_ point: String) throws {
            let stamper = Stamper("lab-shm-fails", megabytes: 32)
            try withWorkload(stamper, on: lab.alpha) { world in
                let isHere = point.hasPrefix("source")
                if !isHere { try lab.beta.write(point, to: "/run/martlet/fault") }
                let outcome = try lab.migrate(stamper.id, from: lab.alpha, fault: isHere ? point : nil)
                #expect(outcome.exitCode != 0, "\(outcome)")
                try lab.beta.shell("rm -f /run/martlet/fault")
                try lab.up()
                try expectOnly(stamper, on: lab.alpha, world)
                try lab.recover()
                try stamper.verify(on: lab.alpha)
                try expectNothingLeft(by: stamper, world)
                try expectMoved(try lab.migrate(stamper.id, from: lab.alpha), stamper, to: lab.beta, world)
            }
        }

        @Test func `one with something mounted in it goes with CRIU, and the pre-flight says so`() throws {
            let edit = #".mounts += [{"destination": "/dev/shm/in", "type": "tmpfs", "source": "in", "options": ["size=1m"]}]"#
            let holder = Holder("lab-shm-inner", configuration: edit)
            try withWorkload(holder, on: lab.alpha) { world in
                let check = try lab.alpha.run(["martlet", "check", holder.id, "--to", lab.beta.address, "--json"])
                #expect(check.outputText.contains("\"tmpfs-in-images\""), "\(check.outputText)")
                try expectMoved(try lab.migrate(holder.id, from: lab.alpha), holder, to: lab.beta, world)
                try expectNothingLeft(by: holder, world)
            }
        }
    }
}
