import CLinux
import Glibc
import Host
import Model

/// The number of the mount that a path lies on (statx, Linux 5.8).
enum MountNumber {
    static func of(_ path: String) -> UInt64? {
        var state = linux_file_state()
        return linux_file_state(AT_FDCWD, path, 0, &state) == 0 ? state.mount : nil
    }
}

extension ContainerFacts {
    /// Looks at a container without stopping or changing anything. Processes that end meanwhile are left out.
    public static func gather(_ outline: ContainerOutline) throws(NetworkError) -> ContainerFacts {
        do throws(SystemError) {
            let pids = try processes(outline.cgroup)
            let probes = pids.compactMap { try? ProcessProbe(pid: $0) }
            let inodes = probes.reduce(into: Set<UInt64>()) { $0.formUnion($1.sockets) }
            var sockets = SocketProbe.gather(pid: outline.initPID, inodes: inodes)
            sockets.outsideUnix = try SocketProbe.outsideUnix(pid: outline.initPID, inodes: inodes)
            let trees = try outline.folders.map { folder throws(SystemError) in
                let snapshot = try TreeSnapshot.take(of: FolderView(path: folder))
                return Tree(path: folder, bytes: snapshot.allocated, entries: snapshot.count)
            }
            let mounts = try MountInfo.ofSelf()
            let binds = outline.binds.map {
                Bind(source: $0.source, destination: $0.destination, sight: BindSight.of($0.source, mounts: mounts))
            }
            return ContainerFacts(
                id: outline.id, state: outline.state, terminal: outline.terminal, bundle: outline.bundle,
                rootfs: outline.rootfs, binds: binds, trees: trees, processes: probes.map(\.facts),
                sockets: sockets, memory: probes.reduce(.zero) { $0 + $1.memory },
                guests: guests(pids, initPID: outline.initPID), nestedGroups: groups(outline.cgroup).count - 1,
                network: try network(outline).get(),
                sharesProcessIDs: (try? Namespaces.identity("pid", of: outline.initPID))
                    == (try? Namespaces.identity("pid", of: getpid())),
                tmpfs: outline.tmpfs)
        } catch { throw .system(error) }
    }

    private static func network(_ outline: ContainerOutline) throws(SystemError) -> Result<NetworkDescription, SystemError> {
        guard let path = outline.networkPath else { return .success(.host) }
        if path.isEmpty { return .success(.unnamed) }
        // A path that leads to the host's own namespace is the host's network.
        if try Self.isOwnNamespace(path) { return .success(.host) }
        do { return .success(try NetworkDescription.gather(path: path, settingNames: outline.networkSettings)) } catch {
            if case .system(let inner) = error { throw inner }
            throw SystemError(call: "describe network", subject: path, errno: EIO, hint: "\(error)")
        }
    }

    private static func isOwnNamespace(_ path: String) throws(SystemError) -> Bool {
        var there = linux_file_state(), here = linux_file_state()
        try kernelResult("statx", path, linux_file_state(AT_FDCWD, path, 0, &there))
        let own = try OwnedDescriptor(opening: "/proc/\(getpid())/ns/net", flags: O_RDONLY)
        try kernelResult("statx", "our network namespace", linux_file_state(own.raw, "", LINUX_AT_EMPTY_PATH, &here))
        return FileIdentity(there) == FileIdentity(here)
    }

    /// All processes of the cgroup and those below it.
    static func processes(_ cgroup: String) throws(SystemError) -> [Int32] {
        var pids: [Int32] = []
        for group in groups(cgroup) {
            guard let text = try? FileIO.read("\(group)/cgroup.procs") else { continue }  // removed meanwhile
            pids += ProcFS.parseNumbers(text.span).filter { $0 > 0 }
        }
        return pids.sorted()
    }

    /// The cgroup's folder and all below.
    static func groups(_ cgroup: String) -> [String] {
        var all: [String] = [], pending = [cgroup]
        while let group = pending.popLast() {
            all.append(group)
            for name in (try? FileIO.list(group)) ?? [] {
                var state = linux_file_state()
                guard linux_file_state(AT_FDCWD, "\(group)/\(name)", 0, &state) == 0, state.mode & LINUX_S_IFMT == LINUX_S_IFDIR
                else { continue }
                pending.append("\(group)/\(name)")
            }
        }
        return all
    }

    /// Processes whose chain of parents doesn't lead to the first one.
    private static func guests(_ pids: [Int32], initPID: Int32) -> [Guest] {
        var parents: [Int32: Int32] = [:], names: [Int32: String] = [:]
        for pid in pids {
            guard let status = try? ProcessStatus.of(pid: pid) else { continue }
            (parents[pid], names[pid]) = (status.parent, status.name)
        }
        return pids.filter { pid in
            var at = pid, steps = 0
            while at != initPID, let parent = parents[at], steps < 10_000 { (at, steps) = (parent, steps + 1) }
            return at != initPID && names[pid] != nil
        }.map { Guest(pid: $0, command: names[$0] ?? "?") }
    }
}
