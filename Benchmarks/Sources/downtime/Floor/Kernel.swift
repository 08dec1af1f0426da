import Glibc

/// A port of the bridge, taken out and put in, by the kernel's oldest interface for it.
enum Bridging {
    static func measure() throws -> [String: [Double]] {
        _ = try Process(["sh", "-c", "ip link add benchf type veth peer name benchg && ip link set benchf up"]).wait()
        defer { _ = try? Process(["ip", "link", "del", "benchf"]).wait() }
        let index = if_nametoindex("benchf")
        guard index > 0 else { throw Failure("no veth for the floor") }
        let socket = try Floor.checked(Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0), "socket")
        defer { close(socket) }
        // struct ifreq: 16 bytes of name, then the index.
        var request = [UInt8](repeating: 0, count: 40)
        for (at, byte) in "br0".utf8.enumerated() { request[at] = byte }
        withUnsafeBytes(of: Int32(index)) { for (at, byte) in $0.enumerated() { request[16 + at] = byte } }
        var (ins, outs): ([Double], [Double]) = ([], [])
        for _ in 0..<20 {
            // SIOCBRADDIF, SIOCBRDELIF
            for (code, isIn) in [(UInt(0x89a2), true), (0x89a3, false)] {
                let start = now()
                try Floor.checked(ioctl(socket, code, &request), "the bridge")
                if isIn { ins.append(milliseconds(now() - start)) } else { outs.append(milliseconds(now() - start)) }
            }
        }
        return ["bridge: a port in": ins, "bridge: a port out": outs]
    }
}

/// A walk over the page tables of 1 GB.
enum Scanning {
    static func measure() throws -> [String: [Double]] {
        let size = 1 << 30
        let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED else { throw Failure("1 GB for the scan could not be had") }
        defer { munmap(memory, size) }
        // MADV_NOHUGEPAGE
        madvise(memory, size, 15)
        for at in stride(from: 0, to: size, by: 4096) { memory.storeBytes(of: 1, toByteOffset: at, as: UInt8.self) }
        let pagemap = try Floor.checked(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), "pagemap")
        defer { close(pagemap) }
        let start = UInt64(UInt(bitPattern: memory))
        var regions = [UInt64](repeating: 0, count: 3 * 64)
        let times = try regions.withUnsafeMutableBytes { vector in
            try Floor.times(10) {
                // struct pm_scan_arg: all pages that are present (bit 3), as regions.
                var argument: [UInt64] = [
                    96, 0, start, start + UInt64(size), 0, UInt64(UInt(bitPattern: vector.baseAddress)), 64, 0, 0, 8, 0, 8,
                ]
                // PAGEMAP_SCAN
                try Floor.checked(ioctl(pagemap, UInt(0xC060_6610), &argument), "PAGEMAP_SCAN")
            }
        }
        return ["scan: page tables of 1 GB": times]
    }
}

/// A byte there and back over TCP, between two hosts.
enum Echo {
    /// `downtime echo PORT`: one connection, everything comes back.
    static func run(_ words: [String]) throws {
        guard words.count == 1, let port = UInt16(words[0]) else { throw Failure("usage: downtime echo PORT") }
        let listener = try Floor.checked(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0), "socket")
        var address = try socketAddress("0.0.0.0", port), one: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        try Floor.checked(bound, "bind")
        try Floor.checked(listen(listener, 1), "listen")
        say("listening")
        let connection = try Floor.checked(accept(listener, nil, nil), "accept")
        setsockopt(connection, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        var byte: UInt8 = 0
        while read(connection, &byte, 1) == 1, write(connection, &byte, 1) == 1 {}
    }

    static func measure(_ host: String, _ port: UInt16) throws -> [String: [Double]] {
        let connection = try Floor.checked(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0), "socket")
        defer { close(connection) }
        var address = try socketAddress(host, port), one: Int32 = 1
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(connection, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try Floor.checked(result, "connect to \(host)")
        setsockopt(connection, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        var byte: UInt8 = 1
        let times = try Floor.times(100) {
            guard write(connection, &byte, 1) == 1, read(connection, &byte, 1) == 1 else { throw Failure("the echo ended") }
        }
        return ["tcp: a byte there and back": times]
    }
}

/// New namespaces, and mounts in them.
enum Namespaces {
    static func measure() throws -> [String: [Double]] {
        // Declared only for _GNU_SOURCE, and so unknown to Swift.
        guard let symbol = dlsym(nil, "unshare") else { throw Failure("there is no unshare") }
        let unshare = unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Int32).self)
        var all: [String: [Double]] = [:]
        for (name, flag) in [("network", Int32(0x4000_0000)), ("IPC", 0x0800_0000), ("UTS", 0x0400_0000), ("mount", 0x0002_0000)]
        {
            all["namespace: a new \(name) namespace"] = try Floor.times(10) { try Floor.checked(unshare(flag), "unshare") }
        }
        // MS_REC | MS_PRIVATE
        try Floor.checked(mount("none", "/", nil, 0x4000 | 1 << 18, nil), "private mounts")
        var (ins, outs): ([Double], [Double]) = ([], [])
        for _ in 0..<10 {
            let start = now()
            try Floor.checked(mount("bench-floor", "/mnt", "tmpfs", 0, nil), "mount")
            let mounted = now()
            try Floor.checked(umount2("/mnt", 0), "umount")
            ins.append(milliseconds(mounted - start))
            outs.append(milliseconds(now() - mounted))
        }
        (all["mount: a tmpfs"], all["mount: away again"]) = (ins, outs)
        return all
    }
}
