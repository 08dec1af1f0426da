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

    @Test func `a MAC is written as it was read`() { #expect(mac.description == "02:00:00:00:77:01") }
}
