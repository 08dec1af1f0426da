import Glibc
import Host
import Model
import Testing

@testable import Containers

/// The whole way of a container through CRIU on one lab host. Run by Tests/containers-in-lab.
@Suite(.serialized, .tags(.lab, .criu, .root), .enabled(if: isInLab, "runs inside a lab host: Tests/containers-in-lab"))
struct LabDanceTests {
    @Test func `the probe finds a CRIU that takes the library`() throws {
        let directory = "/run/mt-probe"
        _ = try? shell("rm -rf \(directory)")
        let shim = try CriuShim(creating: directory, library: CriuShim.findLibrary())
        defer { shim.remove() }
        let probe = try CriuProbe.ask(shim: shim)
        #expect(probe.isRecentEnough && probe.takesShim && probe.hasLazyPages, "\(probe)")
        #expect(probe.canHoldRestore && probe.complaint == nil, "\(probe)")
        let without = try CriuProbe.ask(shim: nil)
        #expect(!without.canHoldRestore && without.shimObstacle != nil)
    }

    @Test func `a skeleton dump leaves the memory out, and rolled back the source runs on unharmed`() throws {
        let source = try LabContainer("mt-roll"), target = try LabContainer("mt-roll2")
        try source.makeBundle(LabContainer.redisProgram)
        try source.start()
        try source.fillRedis(30_000)
        let digest = try source.redis("debug digest")
        for _ in 0..<3 {
            let migration = try LabMigration(source, to: target)
            try migration.startDump()
            #expect(try source.redis("ping") == "PONG", "held at pre-dump the source runs")
            try migration.dump(hiding: true)
            let directory = ImageDirectory(path: migration.images)
            try directory.validate()
            let check = SkeletonCheck(maps: try directory.pageMaps(), hidden: migration.hidden)
            #expect(check.isSkeleton && check.dumped < PageCount(1500), "\(check)")
            try migration.rollBack()
            #expect(try source.redis("debug digest") == digest)
        }
    }

    @Test func `a lazy restore is held before it runs, goes, and has all data`() throws {
        let source = try LabContainer("mt-lazy"), target = try LabContainer("mt-lazy2")
        try source.makeBundle(LabContainer.redisProgram)
        try source.start()
        try source.fillRedis(30_000)
        let digest = try source.redis("debug digest")
        try target.copyBundle(of: source)
        let migration = try LabMigration(source, to: target)
        try migration.startDump()
        let runner = try RestoreRunner.start(try migration.restoreRequest(lazy: true))
        try runner.awaitHeld()
        let processes = try Cgroup(path: try #require(migration.state.unifiedCgroup)).processes()
        let server = try LabFaultServer(workFolder: migration.work, processes: processes)
        defer { server.stop() }
        try migration.dump(hiding: true)
        let directory = ImageDirectory(path: migration.images)
        try directory.validate()
        try directory.prepareForRestore(lazy: true)
        let start = MonotonicInstant.now
        try runner.release()
        try runner.awaitReady()
        print("release to ready took \(start.elapsed)")
        #expect(try shell("cat /sys/fs/cgroup/\(target.id)/cgroup.events").contains("frozen 1"))
        try runner.go()
        try runner.awaitFinished()
        try expectOwnCgroupNamespace(target)
        #expect(try target.redis("debug digest") == digest)
        #expect(server.pagesServed > 5_000, "the memory came from the fault server")
        #expect(try target.runtime.state(of: target.id).status == .running)
        try migration.rollBack()
        #expect(try source.redis("debug digest") == digest)
    }

    @Test func `a tree of processes is dumped as a skeleton, restored lazily, and goes at once, ten times`() throws {
        let source = try LabContainer("mt-tree"), target = try LabContainer("mt-tree2")
        try source.makeBundle("busybox sh")
        let program =
            "for j in 1 2 3 4 5; do (x=$j; while :; do x=$((x+1)); busybox usleep 3000; echo $x >/tmp/out$j; done) & done; wait"
        try source.edit { $0.json[["process", "args"]] = .strings(["/bin/busybox", "sh", "-c", program]) }
        try source.start()
        for _ in 0..<10 {
            try target.copyBundle(of: source)
            let migration = try LabMigration(source, to: target)
            try migration.startDump()
            let runner = try RestoreRunner.start(try migration.restoreRequest(lazy: true))
            try runner.awaitHeld()
            try migration.dump(hiding: true)
            let server = try LabFaultServer(
                workFolder: migration.work, processes: try Cgroup(path: try #require(migration.state.unifiedCgroup)).processes())
            // The final delta of files: CRIU checks the size of every open one.
            try shell("cp -a \(source.bundle)/rootfs/tmp/. \(target.bundle)/rootfs/tmp/")
            let directory = ImageDirectory(path: migration.images)
            try directory.validate()
            #expect(SkeletonCheck(maps: try directory.pageMaps(), hidden: migration.hidden).isSkeleton)
            try directory.prepareForRestore(lazy: true)
            try runner.release()
            try runner.awaitReady()
            try runner.go()
            try runner.awaitFinished()
            for j in 1...5 {
                func count() throws -> String { try shell("cat \(target.bundle)/rootfs/tmp/out\(j) 2>/dev/null || true") }
                let before = try count()
                try eventually("process \(j) of the copy goes on") {
                    let now = try count()
                    return now != before && !now.isEmpty
                }
            }
            server.stop()
            try runner.abort()  // of a running copy: kills and cleans as well
            expectNothing(of: target)
            try shell("rm -rf --one-file-system \(target.bundle)")
            try migration.rollBack()
        }
    }

    @Test func `an aborted restore leaves nothing, and the next one succeeds`() throws {
        let source = try LabContainer("mt-abort"), target = try LabContainer("mt-abort2")
        try source.makeBundle(LabContainer.redisProgram)
        try source.start()
        try source.fillRedis(1000)
        let digest = try source.redis("debug digest")
        try target.copyBundle(of: source)
        for round in 0..<3 {
            let migration = try LabMigration(source, to: target)
            try migration.startDump()
            let runner = try RestoreRunner.start(try migration.restoreRequest(lazy: false))
            try runner.awaitHeld()
            if round == 0 {  // held at the request
                try runner.abort()
                expectNothing(of: target)
                migration.session?.kill()
                #expect(try source.redis("ping") == "PONG", "criu killed at pre-dump harms nobody")
                continue
            }
            try migration.dump(hiding: false)
            try ImageDirectory(path: migration.images).prepareForRestore(lazy: false)
            try runner.release()
            try runner.awaitReady()
            if round == 1 {  // held at the end
                try runner.abort()
                expectNothing(of: target)
                #expect(FileIO.exists("\(target.bundle)/rootfs/bin/sh"), "the bundle's files are still there")
                try migration.rollBack()
                #expect(try source.redis("debug digest") == digest)
                continue
            }
            try runner.go()
            try runner.awaitFinished()
            try migration.commit()
            #expect(try target.redis("debug digest") == digest)
            #expect(try source.runtime.state(of: source.id).status == .stopped)
        }
    }

    @Test func `a restore that fails tells CRIU's own error, and is cleaned up`() throws {
        let source = try LabContainer("mt-fail"), target = try LabContainer("mt-fail2")
        try source.makeBundle(LabContainer.idleProgram)
        try source.start()
        try target.copyBundle(of: source)
        let migration = try LabMigration(source, to: target)
        try migration.startDump()
        let runner = try RestoreRunner.start(try migration.restoreRequest(lazy: false))
        try runner.awaitHeld()
        #expect(throws: CriuError.self) { try runner.go() }  // never before ready
        try migration.dump(hiding: false)
        try shell("rm \(target.bundle)/rootfs/usr/bin/busybox; truncate -s 100 \(migration.images)/mm-1.img")
        try runner.release()
        #expect { try runner.awaitReady() } throws: { "\($0)".contains("Error (criu/") }
        try runner.abort()
        expectNothing(of: target)
        try migration.rollBack()
        #expect(try source.runtime.state(of: source.id).status == .running)
    }

    @Test func `criu killed while it holds the result takes the copy along`() throws {
        let source = try LabContainer("mt-kill"), target = try LabContainer("mt-kill2")
        try source.makeBundle(LabContainer.idleProgram)
        try source.start()
        try target.copyBundle(of: source)
        let migration = try LabMigration(source, to: target)
        try migration.startDump()
        let runner = try RestoreRunner.start(try migration.restoreRequest(lazy: false))
        try runner.awaitHeld()
        let criu = try #require(try Cgroup(path: "/sys/fs/cgroup/\(target.id)").processes().first)
        try migration.dump(hiding: false)
        try ImageDirectory(path: migration.images).prepareForRestore(lazy: false)
        try runner.release()
        try runner.awaitReady()
        kill(criu, SIGKILL)
        try eventually("the copy's death") { try Cgroup(path: "/sys/fs/cgroup/\(target.id)").processes().isEmpty }
        try runner.abort()
        expectNothing(of: target)
        try migration.rollBack()
        #expect(try source.runtime.state(of: source.id).status == .running)
    }

    @Test func `truncated images are refused before CRIU sees them`() throws {
        let source = try LabContainer("mt-cut"), target = try LabContainer("mt-cut2")
        try source.makeBundle(LabContainer.idleProgram)
        try source.start()
        let migration = try LabMigration(source, to: target)
        try migration.startDump()
        try migration.dump(hiding: false)
        let directory = ImageDirectory(path: migration.images)
        try directory.validate()
        try shell("truncate -s -4096 \(migration.images)/pages-1.img")
        #expect(throws: ImageError.self) { try directory.validate() }
        try shell("rm \(migration.images)/core-1.img")
        #expect(throws: ImageError.missing("core-1.img")) { try directory.validate() }
        try migration.rollBack()
    }

    @Test(arguments: ["</dev/null >/data/mt-log.out 2>&1", "</dev/null >>/data/mt-log.out 2>/data/mt-log.err"])
    func `a container that writes to a file of the host goes on writing there`(_ redirect: String) throws {
        let source = try LabContainer("mt-log"), target = try LabContainer("mt-log2")
        _ = try? shell("rm -f /data/mt-log.out /data/mt-log.err")
        defer { _ = try? shell("rm -f /data/mt-log.out /data/mt-log.err") }
        try source.makeBundle("busybox sh -c x")
        try source.edit {
            $0.json[["process", "args"]] = .strings([
                "/bin/busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; busybox usleep 20000; done",
            ])
        }
        try source.start(redirect: redirect)
        try target.copyBundle(of: source)
        func lines() throws -> [String] { try shell("cat /data/mt-log.out").split(separator: "\n").map(String.init) }
        try eventually("output") { (try? lines().count > 5) == true }
        let migration = try LabMigration(source, to: target)
        #expect(migration.plan.streams.externalKeys.isEmpty == false)
        try migration.startDump()
        let runner = try RestoreRunner.start(try migration.restoreRequest(lazy: false))
        try runner.awaitHeld()
        try migration.dump(hiding: false)
        try ImageDirectory(path: migration.images).prepareForRestore(lazy: false)
        try shell("cp /data/mt-log.out /data/mt-log.before; : >/data/mt-log.out")  // another host's empty file
        try runner.release()
        try runner.awaitReady()
        try runner.go()
        try runner.awaitFinished()
        try migration.commit()
        let before = try shell("cat /data/mt-log.before; rm /data/mt-log.before").split(separator: "\n").map(String.init)
        try eventually("more output") { try lines().count > 5 }
        let after = try lines()
        let last = try #require(before.last?.split(separator: " ").last.flatMap { Int($0) })
        #expect(after.first == "line \(last + 1)", "the log goes on with the next line, without a hole")
    }

    @Test func `without a cgroup namespace of its own a container comes back in the host's`() throws {
        let source = try LabContainer("mt-cgns"), target = try LabContainer("mt-cgns2")
        try source.makeBundle(LabContainer.idleProgram)
        try source.edit { config in
            let kept = config.json[["linux", "namespaces"]]?.array?.filter { $0["type"]?.string != "cgroup" } ?? []
            config.json[["linux", "namespaces"]] = .array(kept)
        }
        try migratePlainly(source, target)
        let pid = try target.runtime.state(of: target.id).pid
        #expect(try FileIO.readLink("/proc/\(pid)/ns/cgroup") == FileIO.readLink("/proc/self/ns/cgroup"))
        _ = try shell("runc exec \(target.id) busybox cat /sys/fs/cgroup/cgroup.procs")
    }

    @Test func `with a cgroup namespace of its own a container comes back in a new one`() throws {
        let source = try LabContainer("mt-cgns3"), target = try LabContainer("mt-cgns4")
        try source.makeBundle(LabContainer.idleProgram)
        try migratePlainly(source, target)
        try expectOwnCgroupNamespace(target)
    }

    @Test func `binds, masked files, pipes and a network namespace by path come back`() throws {
        let source = try LabContainer("mt-ext"), target = try LabContainer("mt-ext2")
        try source.makeBundle(LabContainer.idleProgram)
        try shell("mkdir -p /data/mt-ext.bind; echo bound >/data/mt-ext.bind/file; ip netns add mt-ext; ip netns add mt-ext2")
        defer { _ = try? shell("rm -rf /data/mt-ext.bind") }
        try source.edit { config in
            config.setNamespacePath("/run/netns/mt-ext", of: .network)
            var mounts = config.json["mounts"]?.array ?? []
            mounts.append(
                .object([
                    .init("destination", .string("/mnt/x")), .init("type", .string("bind")),
                    .init("source", .string("/data/mt-ext.bind")),
                    .init("options", .strings(["rbind", "rw"])),
                ]))
            config.json["mounts"] = .array(mounts)
        }
        try migratePlainly(source, target, redirect: "</dev/null 2>/dev/null | cat >/dev/null 2>&1 &") {
            try target.edit { $0.setNamespacePath("/run/netns/mt-ext2", of: .network) }
        }
        #expect(try shell("runc exec \(target.id) busybox cat /mnt/x/file") == "bound")
        let pid = try target.runtime.state(of: target.id).pid
        #expect(try inode(of: "/proc/\(pid)/ns/net") == inode(of: "/run/netns/mt-ext2"))
        #expect(try shell("runc exec \(target.id) busybox wc -c /proc/keys").hasPrefix("0 "))
    }

    /// Moves a container with all its memory in the images; the source is killed.
    private func migratePlainly(
        _ source: LabContainer, _ target: LabContainer, redirect: String = "</dev/null >/dev/null 2>&1",
        _ prepare: () throws -> Void = {}
    ) throws {
        try source.start(redirect: redirect)
        try eventually("start") { (try? source.runtime.state(of: source.id).status) == .running }
        try target.copyBundle(of: source)
        try prepare()
        let migration = try LabMigration(source, to: target)
        try migration.startDump()
        let runner = try RestoreRunner.start(try migration.restoreRequest(lazy: false))
        try runner.awaitHeld()
        try migration.dump(hiding: false)
        let directory = ImageDirectory(path: migration.images)
        try directory.validate()
        try directory.prepareForRestore(lazy: false)
        try runner.release()
        try runner.awaitReady()
        try runner.go()
        try runner.awaitFinished()
        try migration.commit()
        #expect(try target.runtime.state(of: target.id).status == .running)
    }

    private func expectOwnCgroupNamespace(_ container: LabContainer) throws {
        let pid = try container.runtime.state(of: container.id).pid
        #expect(try FileIO.readLink("/proc/\(pid)/ns/cgroup") != FileIO.readLink("/proc/self/ns/cgroup"))
        // Its root is the container's cgroup: it sees its own processes at the mount's top.
        let seen = try shell("nsenter -t \(pid) -m -p -C busybox cat /sys/fs/cgroup/cgroup.procs /proc/1/cgroup")
        #expect(seen.contains("1") && seen.contains("0::/") && !seen.contains("0::/.."), "\(seen)")
    }

    private func expectNothing(of container: LabContainer) {
        #expect(!FileIO.exists("/run/runc/\(container.id)"))
        #expect(!FileIO.exists("/sys/fs/cgroup/\(container.id)"))
    }
}
