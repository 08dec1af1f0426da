import Testing

@testable import Containers

@Suite("Announcement frames and netlink messages")
struct FrameTests {
    private let mac = MACAddress("02:00:00:00:77:01")!

    @Test func `a gratuitous ARP names the address as sender and target`() {
        let frame = AnnouncementFrame.gratuitousARP(mac: mac, ipv4: [10, 77, 1, 5])
        #expect(
            frame == [
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  // to everybody
                0x02, 0x00, 0x00, 0x00, 0x77, 0x01,  // from the container: switches learn this
                0x08, 0x06,  // ARP
                0x00, 0x01, 0x08, 0x00, 6, 4,  // Ethernet and IPv4
                0x00, 0x01,  // request
                0x02, 0x00, 0x00, 0x00, 0x77, 0x01, 10, 77, 1, 5,  // sender
                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 10, 77, 1, 5,  // target
            ] + [UInt8](repeating: 0, count: 18))  // padding to 60 bytes
    }

    @Test func `an unsolicited advertisement overrides and carries a valid checksum`() {
        let address = AddressText.ipv6("fe80::ff:fe00:7701")!
        let frame = AnnouncementFrame.unsolicitedAdvertisement(mac: mac, ipv6: address)
        #expect(Array(frame.prefix(14)) == [0x33, 0x33, 0, 0, 0, 1, 0x02, 0, 0, 0, 0x77, 0x01, 0x86, 0xdd])
        #expect(Array(frame[14..<22]) == [0x60, 0, 0, 0, 0, 32, 58, 255])  // IPv6, 32 bytes of ICMPv6, hop limit 255
        #expect(Array(frame[22..<38]) == address)
        #expect(frame[54] == 136 && frame[58] == 0x20)  // neighbour advertisement, override
        #expect(Array(frame.suffix(8)) == [2, 1, 0x02, 0, 0, 0, 0x77, 0x01])  // target link-layer address
        // Over pseudo header and message the sum of a correct packet is zero.
        let pseudo = Array(frame[22..<54]) + [0, 0, 0, 32, 0, 0, 0, 58]
        #expect(AnnouncementFrame.checksum(pseudo + Array(frame[54...])) == 0)
    }

    @Test func `closing a bridge port is one message`() {
        #expect(
            BridgePort.message(index: 0x12, state: .closed) == [
                44, 0, 0, 0,  // length
                19, 0, 5, 0,  // RTM_SETLINK; REQUEST, ACK
                0, 0, 0, 0, 0, 0, 0, 0,  // sequence, port
                7, 0, 0, 0, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // ifinfomsg: AF_BRIDGE, index
                12, 0, 12, 0x80,  // IFLA_PROTINFO, nested
                5, 0, 1, 0, 0, 0, 0, 0,  // IFLA_BRPORT_STATE 0
            ])
    }

    @Test(arguments: ["", "02:00:00:00:77", "02:00:00:00:77:0g", "2:0:0:0:77:1", "02:00:00:00:77:01:02"])
    func `what is no MAC is refused`(_ text: String) { #expect(MACAddress(text) == nil) }

    /// Behind a virtio_net_hdr: Ethernet to `mac`, then the rest.
    private func captured(_ rest: [UInt8], to target: [UInt8]? = nil) -> CapturedFrame {
        CapturedFrame(
            interface: 0, bytes: [UInt8](repeating: 0, count: 10) + (target ?? mac.bytes) + [2, 0, 0, 0, 0, 9] + rest)
    }

    private func ipv4(_ kind: UInt8, _ transport: [UInt8], options: Int = 0) -> [UInt8] {
        [0x08, 0x00, UInt8(0x45 + options), 0, 0, 40, 0, 0, 0x40, 0, 64, kind, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
            + [UInt8](repeating: 1, count: options * 4) + transport
    }

    private func ipv6(_ kind: UInt8, _ transport: [UInt8]) -> [UInt8] {
        [0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, kind, 64] + [UInt8](repeating: 7, count: 32) + transport
    }

    private func tcp(_ flags: UInt8) -> [UInt8] {
        [0, 80, 1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]
    }

    @Test func `newcomers are datagrams and the first segment of a connection`() {
        for flags in [UInt8(0x02), 0xc2] {  // SYN; SYN with the bits of congestion notification
            #expect(captured(ipv4(6, tcp(flags))).newcomer == .connection)
            #expect(captured(ipv6(6, tcp(flags))).newcomer == .connection)
            #expect(captured(ipv4(6, tcp(flags), options: 3)).newcomer == .connection)
        }
        #expect(captured(ipv4(17, [UInt8](repeating: 0, count: 8))).newcomer == .datagram)
        #expect(captured(ipv6(17, [UInt8](repeating: 0, count: 8))).newcomer == .datagram)
        for flags in [UInt8(0x10), 0x18, 0x12, 0x11, 0x04, 0x06, 0x03] {
            #expect(captured(ipv4(6, tcp(flags))).newcomer == nil && captured(ipv6(6, tcp(flags))).newcomer == nil)
        }
        #expect(captured(ipv4(1, tcp(2))).newcomer == nil, "ICMP")
        #expect(captured(AnnouncementFrame.gratuitousARP(mac: mac, ipv4: [10, 0, 0, 1])).newcomer == nil)
    }

    @Test func `a frame cut short is no newcomer and crashes nothing`() {
        for frame in [captured(ipv4(6, tcp(2), options: 10)), captured(ipv6(6, tcp(2)))] {
            for length in 0..<frame.bytes.count - 6 {
                #expect(CapturedFrame(interface: 0, bytes: Array(frame.bytes[..<length])).newcomer == nil)
            }
        }
    }

    @Test func `only frames for the container are given to it`() {
        #expect(captured(ipv4(6, tcp(2))).isFor(mac))
        #expect(captured([8, 6], to: [255, 255, 255, 255, 255, 255]).isFor(mac))
        #expect(captured([0x86, 0xdd], to: [0x33, 0x33, 0, 0, 0, 1]).isFor(mac))
        #expect(!captured(ipv4(6, tcp(2)), to: [2, 0, 0, 0, 0x77, 2]).isFor(mac))
        #expect(!CapturedFrame(interface: 0, bytes: []).isFor(mac))
        #expect(!CapturedFrame(interface: 0, bytes: mac.bytes).isFor(mac))
        let long = [UInt8](repeating: 0, count: CapturedFrame.mostBytes)
        #expect(!captured(long).isFor(mac))
    }

    @Test func `a MAC is written as it was read`() { #expect(mac.description == "02:00:00:00:77:01") }
}
