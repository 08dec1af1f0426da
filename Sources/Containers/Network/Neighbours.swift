import Glibc
import Host

/// Who else has an address on the bridges of this host.
///
/// The tables of each namespace in which a process lives are read in /proc, without entering it. Only where an address is
/// found is `ip` asked, inside, through which cable it is reached: the same address behind another bridge is another network.
enum Neighbours {
    /// - Returns: addresses that are taken, with their owners in words.
    static func owners(of addresses: Set<String>, on bridges: Set<String>) -> [String: String] {
        let own = try? Namespaces.identity("net", of: getpid())
        var seen: Set<String> = own.map { [$0] } ?? []
        var owners: [String: String] = [:]
        for pid in (try? FileIO.list("/proc"))?.compactMap({ Int32($0) }).sorted() ?? [] {
            guard let namespace = try? Namespaces.identity("net", of: pid), seen.insert(namespace).inserted,
                !addresses.isDisjoint(with: local(pid))
            else { continue }
            let name = "\((try? ProcessStatus.of(pid: pid).name) ?? "a process") (\(pid))"
            for address in plugged("/proc/\(pid)/ns/net", bridges).intersection(addresses) { owners[address] = name }
        }
        // Named ones in which no process lives answer for their addresses all the same.
        for name in (try? FileIO.list("/run/netns")) ?? [] where !seen.contains("net:[\(inode("/run/netns/\(name)"))]") {
            for address in plugged("/run/netns/\(name)", bridges).intersection(addresses) {
                owners[address] = "the network namespace \(name)"
            }
        }
        return owners
    }

    private static func inode(_ path: String) -> UInt64 {
        var status = stat()
        return stat(path, &status) == 0 ? UInt64(status.st_ino) : 0
    }

    private static func local(_ pid: Int32) -> Set<String> {
        let four = (try? FileIO.read("/proc/\(pid)/net/fib_trie")).map { localIPv4(String(decoding: $0, as: UTF8.self)) } ?? []
        let six = (try? FileIO.read("/proc/\(pid)/net/if_inet6")).map { localIPv6(String(decoding: $0, as: UTF8.self)) } ?? []
        return four.union(six)
    }

    /// `|-- 10.77.1.5` followed by `/32 host LOCAL` (net/ipv4/fib_trie.c, fib_trie_seq_show).
    static func localIPv4(_ text: String) -> Set<String> {
        var found = Set<String>(), last = ""
        for line in text.split(separator: "\n") {
            let content = line.drop { $0 == " " }
            if content.hasPrefix("|-- ") { last = String(content.dropFirst(4)) }
            if content.hasPrefix("/32 host LOCAL"), !last.isEmpty { found.insert(last) }
        }
        return found
    }

    /// The address in 32 hexadecimal digits, then five more words (net/ipv6/addrconf.c, if6_seq_show).
    static func localIPv6(_ text: String) -> Set<String> {
        Set(
            text.split(separator: "\n").compactMap { line in
                guard let digits = line.split(separator: " ").first, digits.utf8.count == 32 else { return nil }
                var bytes: [UInt8] = [], rest = digits
                while !rest.isEmpty {
                    guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
                    bytes.append(byte)
                    rest = rest.dropFirst(2)
                }
                return AddressText.show(bytes)
            })
    }

    /// Addresses of a namespace's interfaces whose cable ends on this host in a port of one of the bridges.
    private static func plugged(_ namespace: String, _ bridges: Set<String>) -> Set<String> {
        guard let links = try? IPTool(namespace: namespace).read([IPLink].self, ["addr", "show"]) else { return [] }
        let ports = bridges.flatMap { (try? FileIO.list("/sys/class/net/\($0)/brif")) ?? [] }
        let numbers = Set(ports.compactMap { try? FileIO.readLine("/sys/class/net/\($0)/ifindex") })
        return Set(
            links.filter { link in link.link_index.map { numbers.contains("\($0)") } ?? false }
                .flatMap { ($0.addr_info ?? []).compactMap(\.local) })
    }
}
