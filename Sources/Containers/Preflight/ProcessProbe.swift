import CLinux
import Glibc
import Host
import Model

/// One process as the pre-flight sees it: /proc/PID/{status,fd,maps,exe,attr,smaps_rollup}. Stops nothing.
struct ProcessProbe {
    let pid: Int32
    private(set) var facts: ProcessFacts
    /// Inodes of its sockets.
    private(set) var sockets: Set<UInt64> = []
    private(set) var memory = ByteCount.zero

    /// - Throws: ENOENT or ESRCH if it has ended.
    init(pid: Int32) throws(SystemError) {
        self.pid = pid
        let status = try ProcessStatus.of(pid: pid)
        facts = ProcessFacts(pid: pid, command: status.name, tracer: status.tracer)
        facts.is32Bit = Self.is32Bit(pid)
        facts.label = Self.label(pid)
        try lookAtDescriptors()
        try lookAtMemory()
    }

    /// The class byte of the program's ELF header: 1 is 32 bits.
    private static func is32Bit(_ pid: Int32) -> Bool {
        guard let file = try? OwnedDescriptor(opening: "/proc/\(pid)/exe", flags: O_RDONLY) else { return false }
        var header = [UInt8](repeating: 0, count: 5)
        return pread(file.raw, &header, 5, 0) == 5 && header == [0x7f, 0x45, 0x4c, 0x46, 1]
    }

    /// Labels that confine: not `unconfined`, `kernel` or SELinux's unconfined domains.
    private static func label(_ pid: Int32) -> String? {
        guard let text = try? FileIO.readLine("/proc/\(pid)/attr/current") else { return nil }  // no such module: EINVAL
        let label = String(text.prefix { $0 != "\0" })
        return label.isEmpty || label.hasPrefix("unconfined") || label == "kernel" || label.contains(":unconfined_t:")
            ? nil : label
    }

    private mutating func lookAtDescriptors() throws(SystemError) {
        for (number, target) in try ProcFS.descriptors(of: pid) {
            let link = "/proc/\(pid)/fd/\(number)"
            if target.hasPrefix("socket:[") {
                if let inode = UInt64(target.dropFirst(8).dropLast()) { sockets.insert(inode) }
                if let kind = Self.socketKind(link) { facts.otherSockets.append(kind) }
            } else if target.hasPrefix("anon_inode:") {
                let kind = target.dropFirst(11).drop { $0 == "[" }.prefix { $0 != "]" }
                facts.anonymousInodes[String(kind), default: 0] += 1
            } else if target.hasPrefix("/") {
                lookAtFile(link)
            }
        }
        facts.otherSockets.sort()
    }

    /// The protocol's name if it is none of those that CRIU saves; the attribute is the kernel's (sockfs, Linux 2.6.39).
    private static func socketKind(_ link: String) -> String? {
        var value = [UInt8](repeating: 0, count: 64)
        let n = linux_get_attribute(link, "system.sockprotoname", &value, value.count)
        guard n > 0 else { return nil }
        let name = String(decoding: value.prefix(n).prefix { $0 != 0 }, as: UTF8.self)
        let saved: Set = [
            "TCP", "TCPv6", "UDP", "UDPv6", "UDP-Lite", "UDPLITEv6", "RAW", "RAWv6", "PING", "PINGv6", "UNIX", "UNIX-STREAM",
            "NETLINK",
        ]
        return saved.contains(name) ? nil : name
    }

    /// Named by our own descriptor: a shell puts other files behind the number all the time.
    private mutating func lookAtFile(_ link: String) {
        guard let file = try? OwnedDescriptor(opening: link, flags: LINUX_O_PATH),
            let target = try? FileIO.readLink("/proc/self/fd/\(file.raw)"), target.hasPrefix("/")
        else { return }
        var state = linux_file_state()
        guard linux_file_state(file.raw, "", LINUX_AT_EMPTY_PATH, &state) == 0 else { return }
        let kind = state.mode & LINUX_S_IFMT
        if kind == LINUX_S_IFCHR || kind == LINUX_S_IFBLK {
            facts.devices.append(target)
        } else if kind == LINUX_S_IFREG, state.links == 0, !target.hasPrefix("/memfd:") {
            let path = target.hasSuffix(" (deleted)") ? String(target.dropLast(10)) : target
            facts.deletedFiles.append(.init(path: path, size: ByteCount(Int(clamping: state.size))))
        }
    }

    private mutating func lookAtMemory() throws(SystemError) {
        let map = try MemoryMap.of(pid: pid)
        facts.mappedFiles = PageCache.files(map).map(\.file)
        for area in map.areas {
            let name = map.name(of: area)
            if name.hasPrefix("anon_inode:[io_uring]"), facts.anonymousInodes["io_uring"] == nil {
                facts.anonymousInodes["io_uring"] = 1
            }
            if name.hasPrefix("/dev/"), !name.hasPrefix("/dev/zero"), !name.hasPrefix("/dev/shm/") { facts.devices.append(name) }
        }
        guard let rollup = try? FileIO.read("/proc/\(pid)/smaps_rollup") else { return }  // Linux 4.14; a zombie has none
        let values = ProcFS.parseMemoryInfo(rollup.span)
        // Shared pages count in part for each process (Pss), so that the sum is what the container really holds.
        memory = ByteCount(Int(clamping: (values["Pss"] ?? 0) + (values["SwapPss"] ?? 0)))
        facts.hugePages = ByteCount(Int(clamping: (values["Shared_Hugetlb"] ?? 0) + (values["Private_Hugetlb"] ?? 0)))
    }
}
