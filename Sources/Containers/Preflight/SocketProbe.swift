import CLinux
import Glibc
import Host

/// The sockets of some processes: /proc/PID/net/{tcp,udp,unix} and unix sock_diag(7) for peers.
///
/// The tables of /proc are those of the process's network namespace; rows are matched by the inodes of its descriptors, so in the
/// host's namespace only the container's own sockets count.
enum SocketProbe {
    struct Row: Hashable {
        var local: (address: String, port: UInt16)
        var remote: (address: String, port: UInt16)
        var state: UInt8
        var inode: UInt64
        static func == (a: Row, b: Row) -> Bool {
            a.inode == b.inode && a.local == b.local && a.remote == b.remote && a.state == b.state
        }
        func hash(into hasher: inout Hasher) { hasher.combine(inode) }
    }

    /// TCP states that matter (include/net/tcp_states.h).
    private static let closed: UInt8 = 7, listening: UInt8 = 10

    /// - Parameters:
    ///   - pid: a process of the namespace.
    ///   - inodes: the container's sockets; nil takes all.
    static func gather(pid: Int32, inodes: Set<UInt64>?) -> SocketFacts {
        var facts = SocketFacts()
        for (file, transport) in [("tcp", SocketFacts.Transport.tcp), ("tcp6", .tcp), ("udp", .udp), ("udp6", .udp)] {
            guard let text = try? FileIO.read("/proc/\(pid)/net/\(file)") else { continue }  // no IPv6
            for row in rows(String(decoding: text, as: UTF8.self)) where inodes?.contains(row.inode) ?? true {
                let local = SocketFacts.Endpoint(transport, row.local.address, row.local.port)
                if transport == .udp || row.state == listening {
                    facts.bound.append(local)
                } else if row.state != closed {
                    facts.connections.append(.init(local: local, peer: .init(transport, row.remote.address, row.remote.port)))
                }
            }
        }
        return facts
    }

    /// `  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 ...`
    static func rows(_ text: String) -> [Row] {
        text.split(separator: "\n").dropFirst().compactMap { line in
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            guard words.count > 9, let local = endpoint(words[1]), let remote = endpoint(words[2]),
                let state = UInt8(words[3], radix: 16), let inode = UInt64(words[9])
            else { return nil }
            return Row(local: local, remote: remote, state: state, inode: inode)
        }
    }

    /// `0100007F:1F90`: groups of four bytes, each in the host's order; the port in hexadecimal.
    private static func endpoint(_ text: Substring) -> (address: String, port: UInt16)? {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let port = UInt16(parts[1], radix: 16), parts[0].utf8.count % 8 == 0 else { return nil }
        var bytes: [UInt8] = []
        var rest = parts[0]
        while !rest.isEmpty {
            guard let group = UInt32(rest.prefix(8), radix: 16) else { return nil }
            withUnsafeBytes(of: group) { bytes += $0 }
            rest = rest.dropFirst(8)
        }
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        return (AddressText.show(bytes), port)
    }

    /// Unix sockets among `inodes` whose peer is none of them.
    static func outsideUnix(pid: Int32, inodes: Set<UInt64>) throws(SystemError) -> [SocketFacts.OutsideUnix] {
        let all = try Namespaces.run(in: ["net"], of: pid) { () throws(SystemError) in try UnixDiagnosis.sockets() }
        let names = Dictionary(all.map { ($0.inode, $0.name) }, uniquingKeysWith: { first, _ in first })
        return all.compactMap { socket in
            guard inodes.contains(socket.inode), let peer = socket.peer, !inodes.contains(peer) else { return nil }
            let name = socket.name.isEmpty ? names[peer] ?? "" : socket.name
            return .init(name: name, inode: socket.inode)
        }
    }
}

/// Unix sockets with their peers; sock_diag(7), UNIX_DIAG_SHOW_NAME and UNIX_DIAG_SHOW_PEER (CONFIG_UNIX_DIAG).
enum UnixDiagnosis {
    struct Socket {
        var inode: UInt64
        var peer: UInt64?
        var name: String
    }

    /// All of the calling thread's network namespace. A peer in another namespace shows as 0 and counts as one.
    static func sockets() throws(SystemError) -> [Socket] {
        let kind = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let socket = OwnedDescriptor(
            taking: Int32(try kernelResult("socket", "NETLINK_SOCK_DIAG", linux_socket(AF_NETLINK, kind, 4))))
        let request = message()
        try kernelResult("send", "sock_diag", linux_send_bytes(socket.raw, request, request.count))
        var found: [Socket] = [], buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let n = try kernelResult("recv", "sock_diag", linux_receive_bytes(socket.raw, &buffer, buffer.count, 0))
            guard try parse(buffer.prefix(n), &found) else { return found }
        }
    }

    /// SOCK_DIAG_BY_FAMILY with unix_diag_req: all states, names and peers.
    private static func message() -> [UInt8] {
        func four(_ v: UInt32) -> [UInt8] { withUnsafeBytes(of: v.littleEndian, Array.init) }
        return four(16 + 24) + [20, 0, 0x01, 0x03] + four(1) + four(0)  // REQUEST | DUMP
            + [1, 0, 0, 0] + four(~0) + four(0) + four(0x1 | 0x4) + four(~0) + four(~0)
    }

    /// - Returns: false at the end of the list.
    static func parse(_ bytes: ArraySlice<UInt8>, _ found: inout [Socket]) throws(SystemError) -> Bool {
        func four(_ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) } }
        var at = bytes.startIndex
        while at + 16 <= bytes.endIndex {
            let length = Int(four(at)), type = four(at + 4) & 0xffff
            guard length >= 16, at + length <= bytes.endIndex else {
                throw SystemError(call: "sock_diag", subject: "unix", errno: EBADMSG)
            }
            if type == 3 { return false }  // NLMSG_DONE
            if type == 2 {  // NLMSG_ERROR
                let code = length >= 20 ? Int32(bitPattern: four(at + 16)) : 0
                throw SystemError(call: "sock_diag", subject: "unix", errno: -code, hint: "CONFIG_UNIX_DIAG in the kernel?")
            }
            if length >= 32 { found.append(socket(bytes[at..<at + length])) }
            at += (length + 3) & ~3
        }
        return true
    }

    /// nlmsghdr (16), unix_diag_msg (16: family, type, state, pad, inode, cookie), attributes.
    private static func socket(_ bytes: ArraySlice<UInt8>) -> Socket {
        let start = bytes.startIndex
        func four(_ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) } }
        var socket = Socket(inode: UInt64(four(start + 20)), peer: nil, name: "")
        var at = start + 32
        while at + 4 <= bytes.endIndex {
            let length = Int(bytes[at]) | Int(bytes[at + 1]) << 8, type = bytes[at + 2]
            guard length >= 4, at + length <= bytes.endIndex else { break }
            let payload = bytes[at + 4..<at + length]
            if type == 0 { socket.name = name(payload) }  // UNIX_DIAG_NAME
            if type == 2, payload.count >= 4 { socket.peer = UInt64(four(at + 4)) }  // UNIX_DIAG_PEER
            at += (length + 3) & ~3
        }
        return socket
    }

    /// An abstract name is shown with `@`, as in /proc/net/unix.
    private static func name(_ bytes: ArraySlice<UInt8>) -> String {
        guard let first = bytes.first else { return "" }
        let shown = first == 0 ? [UInt8(ascii: "@")] + bytes.dropFirst() : Array(bytes.prefix { $0 != 0 })
        return String(decoding: shown.map { $0 == 0 ? UInt8(ascii: "@") : $0 }, as: UTF8.self)
    }
}
