import Model

extension Preflight {
    func containerFindings() -> [Finding] {
        var found: [Finding] = []
        switch container.state {
        case .running: break
        case .paused:
            found.append(
                blocker(
                    "container-paused", "container \(container.id) is paused",
                    "Martlet freezes and thaws the container itself; it can't tell its own freeze from yours.",
                    "Resume it (runc resume \(container.id)) and pause it again at the destination."))
        case .stopped:
            found.append(
                blocker(
                    "container-not-running", "container \(container.id) isn't running",
                    "There is no process to move.", "Start it, or copy its bundle by hand."))
        }
        if container.terminal {
            found.append(
                blocker(
                    "terminal", "container \(container.id) has a terminal",
                    "The terminal's other end is held by a program of this host, which stays here.",
                    "Run it without a terminal (process.terminal false in config.json)."))
        }
        if destination.idTaken {
            found.append(
                blocker(
                    "id-taken", "\(destination.host.name) already has a container \(container.id)",
                    "The moved container keeps its name.", "Remove that one (runc delete \(container.id)) or choose another host."
                ))
        }
        if container.sharesProcessIDs {
            found.append(
                warning(
                    "pid-namespace-shared", "container \(container.id) has no PID namespace of its own",
                    "Its processes keep their numbers; if one of them is in use at the destination the restore fails.",
                    "Give it a pid namespace in config.json."))
        }
        for tmpfs in container.imagedTmpfs {
            found.append(
                warning(
                    "tmpfs-in-images", "the files in \(tmpfs.point) are moved while the container stands still",
                    "CRIU packs them into its images, because \(tmpfs.why): seconds for each gigabyte.",
                    "Nothing has to be done if it holds little."))
        }
        if !container.guests.isEmpty {
            found.append(
                warning(
                    "exec-session",
                    "\(container.guests.count) processes were started from outside: "
                        + shortList(container.guests.map { "\($0.command) (\($0.pid))" }),
                    "Sessions of runc exec aren't children of the container's first process; they are not moved.",
                    "End them first, or start them again at the destination."))
        }
        if container.nestedGroups > 0 {
            found.append(
                warning(
                    "nested-cgroups", "\(container.nestedGroups) cgroups below the container's own",
                    "All processes come back in the container's cgroup itself.",
                    "Limits set on inner cgroups must be set again at the destination."))
        }
        found += roomFindings()
        return found
    }

    /// Whether the memory has room: the restored process's own, and beside it what is kept until that is complete.
    private func roomFindings() -> [Finding] {
        let memory = container.memory, host = destination.host
        if memory > destination.availableMemory {
            return [
                memoryShort(
                    host.name,
                    "the container uses \(memory.shown), \(host.name) has \(destination.availableMemory.shown) to spare")
            ]
        }
        guard let there = host.room else { return [] }
        let grown = HostRoom.grown(memory)
        if wishes.lazy {
            // The store gives back behind the fill what the process gets, so the peak is one and a little; on disk it needs none.
            let store = grown + .mebibytes(64)
            guard store > there.memory, store > there.durable else { return [] }
            return [
                memoryShort(
                    host.name,
                    "\(store.shown) of memory have to be kept on \(host.name) until the container has them: it has "
                        + "\(there.memory.shown) of memory and \(there.durable.shown) of disk to spare")
            ]
        }
        return [(source, "dumped"), (host, "restored")].compactMap { host, done in
            guard let room = host.room, !room.takesImagesInMemory(of: memory), grown > room.durable else { return nil }
            return memoryShort(
                host.name,
                "images with \(grown.shown) of memory have to be kept on \(host.name) while they are \(done): it has "
                    + "\(room.memory.shown) of memory and \(room.durable.shown) of disk to spare")
        }
    }

    private func memoryShort(_ host: String, _ what: String) -> Finding {
        blocker(
            "memory-short", what, "Memory arrives in full; a host that runs out would kill processes.",
            "Free memory or disk on \(host), or choose a larger host.")
    }

    func processFindings() -> [Finding] {
        container.processes.flatMap { kindFindings($0) + descriptorFindings($0) + labelFindings($0) }
    }

    private func kindFindings(_ process: ProcessFacts) -> [Finding] {
        let name = "\(process.command) (\(process.pid))"
        var found: [Finding] = []
        if process.is32Bit {
            found.append(
                blocker(
                    "task-32bit", "\(name) is a 32-bit program", "CRIU on a 64-bit host is mostly built without 32-bit tasks.",
                    "Run a 64-bit build of the program."))
        }
        if process.tracer != 0 {
            found.append(
                blocker(
                    "traced", "\(name) is being traced by process \(process.tracer)",
                    "A process has one tracer, and CRIU has to be it.", "Detach the debugger or strace."))
        }
        if process.hugePages > .zero {
            found.append(
                warning(
                    "hugetlb", "\(name) maps \(process.hugePages.shown) of reserved huge pages",
                    "They travel inside the freeze, and the destination needs as many free ones (vm.nr_hugepages).",
                    "Reserve them at the destination, or use transparent huge pages instead."))
        }
        let large = process.deletedFiles.filter { $0.size > wishes.ghostLimit }
        if !large.isEmpty {
            found.append(
                blocker(
                    "ghost-file-too-large",
                    "\(name) has deleted files open: " + shortList(large.map { "\($0.path) (\($0.size.shown))" }),
                    "Deleted files travel inside CRIU's images, up to \(wishes.ghostLimit.shown) each.",
                    "Let the program close them, or raise ghost-limit (annotation org.criu.config names a file with CRIU options)."
                ))
        }
        return found
    }

    private func descriptorFindings(_ process: ProcessFacts) -> [Finding] {
        let name = "\(process.command) (\(process.pid))"
        var found: [Finding] = []
        if let rings = process.anonymousInodes["io_uring"] {
            found.append(
                blocker(
                    "io-uring", "\(name) uses io_uring (\(rings) \(rings == 1 ? "ring" : "rings"))",
                    "CRIU can't save an io_uring; most programs fall back to other calls if they may not make one.",
                    "Refuse io_uring_setup by seccomp in config.json (docker's and containerd's default profiles do), "
                        + "or turn it off in the program: MariaDB --innodb-use-native-aio=0."))
        }
        let unknown = process.anonymousInodes.keys.filter { $0 != "io_uring" && !Self.dumpableInodes.contains($0) }
        if !unknown.isEmpty {
            found.append(
                blocker(
                    "descriptor-unsupported", "\(name) holds " + shortList(unknown.sorted()),
                    "CRIU can't save this kind of kernel object.", "Turn the feature off in the program."))
        }
        if process.anonymousInodes["fanotify"] != nil {
            found.append(
                warning(
                    "fanotify", "\(name) watches files with fanotify",
                    "Marks are set again by path; events not yet read are lost.", "Let the program scan once after the move."))
        }
        let devices = Set(process.devices).subtracting(Self.portableDevices)
            .filter { !$0.hasPrefix("/dev/pts/") || !container.terminal }
        if !devices.isEmpty {
            found.append(
                blocker(
                    "device-open", "\(name) uses " + shortList(devices.sorted()),
                    "The state behind a device belongs to this host's hardware.", "Let the program close it."))
        }
        if !process.otherSockets.isEmpty {
            let kinds = Set(process.otherSockets)
            let packet = kinds.intersection(["PACKET"]), rest = kinds.subtracting(packet)
            if !rest.isEmpty {
                let mptcp = rest.contains { $0.hasPrefix("MPTCP") }
                found.append(
                    blocker(
                        "socket-unsupported", "\(name) has sockets of \(shortList(rest.sorted()))",
                        "CRIU saves TCP, UDP, raw, Unix, packet and netlink sockets only.",
                        mptcp
                            ? "Go programs: GODEBUG=multipathtcp=0. Others: mptcp.enabled=0 in the container's namespace."
                            : "Turn the feature off in the program."))
            }
            if !packet.isEmpty {
                found.append(
                    warning(
                        "packet-socket", "\(name) has a packet socket",
                        "Frames waiting in it are lost, and it is bound to an interface's number, which Martlet keeps only "
                            + "in named network namespaces.", "Check the capture after the move."))
            }
        }
        return found
    }

    private func labelFindings(_ process: ProcessFacts) -> [Finding] {
        guard let label = process.label else { return [] }
        let module = label.contains(":") ? "selinux" : "apparmor"
        guard !destination.host.securityModules.contains(module) else { return [] }
        return [
            blocker(
                "lsm-label", "\(process.command) (\(process.pid)) runs under the \(module) label \(label)",
                "\(destination.host.name) has no \(module) and couldn't confine it in the same way.",
                "Choose a destination with \(module), or run the container without a profile.")
        ]
    }

    /// Anonymous inodes that CRIU 4.2 dumps (criu/files.c, dump_one_file).
    static let dumpableInodes: Set<String> = [
        "eventfd", "eventpoll", "inotify", "fanotify", "signalfd", "timerfd", "pidfd", "bpf-map",
    ]

    /// Devices without state of their own.
    static let portableDevices: Set<String> = [
        "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/ptmx", "/dev/pts/ptmx", "/dev/tty",
    ]
}
