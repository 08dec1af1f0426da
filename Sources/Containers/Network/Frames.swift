/// A 48-bit Ethernet address.
public struct MACAddress: Hashable, Sendable, CustomStringConvertible {
    public var bytes: [UInt8]
    /// - Returns: nil unless the text is six pairs of hexadecimal digits with colons.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map {
            $0.count == 2 ? UInt8($0, radix: 16) : nil
        }
        guard parts.count == 6, !parts.contains(nil) else { return nil }
        bytes = parts.compactMap { $0 }
    }
    public var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
}

/// Frames that tell a network where an address lives now.
///
/// Switches learn the port from the source MAC of any frame; neighbours renew their entry from the content.
public enum AnnouncementFrame {
    /// A gratuitous ARP request (RFC 5944, section 4.6; sender and target are the same address).
    public static func gratuitousARP(mac: MACAddress, ipv4: [UInt8]) -> [UInt8] {
        var frame = [UInt8](repeating: 0xff, count: 6) + mac.bytes + [0x08, 0x06]  // broadcast, ARP
        frame += [0, 1, 0x08, 0, 6, 4, 0, 1]  // Ethernet, IPv4, address lengths, request
        frame += mac.bytes + ipv4 + [0, 0, 0, 0, 0, 0] + ipv4
        return frame + [UInt8](repeating: 0, count: 60 - frame.count)  // shortest Ethernet frame
    }

    /// An unsolicited neighbour advertisement to all nodes, with the override flag (RFC 4861, section 7.2.6).
    public static func unsolicitedAdvertisement(mac: MACAddress, ipv6: [UInt8]) -> [UInt8] {
        let allNodes: [UInt8] = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        var message: [UInt8] = [136, 0, 0, 0, 0x20, 0, 0, 0] + ipv6 + [2, 1] + mac.bytes  // override; target link-layer address
        let sum = checksum(ipv6 + allNodes + [0, 0, 0, UInt8(message.count), 0, 0, 0, 58] + message)
        (message[2], message[3]) = (UInt8(sum >> 8), UInt8(sum & 0xff))
        var frame: [UInt8] = [0x33, 0x33, 0, 0, 0, 1] + mac.bytes + [0x86, 0xdd]
        frame += [0x60, 0, 0, 0, 0, UInt8(message.count), 58, 255] + ipv6 + allNodes
        return frame + message
    }

    /// The Internet checksum (RFC 1071) of an even number of bytes.
    static func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for i in stride(from: 0, to: bytes.count - 1, by: 2) { sum += UInt32(bytes[i]) << 8 | UInt32(bytes[i + 1]) }
        while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
        return ~UInt16(sum)
    }

    /// The frame for an address in text form, nil if it is neither.
    public static func announcing(_ address: String, mac: MACAddress) -> [UInt8]? {
        if let four = AddressText.ipv4(address) { return gratuitousARP(mac: mac, ipv4: four) }
        return AddressText.ipv6(address).map { unsolicitedAdvertisement(mac: mac, ipv6: $0) }
    }
}
