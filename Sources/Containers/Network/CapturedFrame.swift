import Host

/// A frame as a packet socket gave it: a virtio_net_hdr (10 bytes), then Ethernet.
///
/// The header says which checksum is still to be made and how a large frame is to be cut: what one program of a host sends
/// another never had either, and without the header would be thrown away at the other end.
public struct CapturedFrame: Sendable, Hashable {
    /// Of the container's interfaces, by their order in its description.
    public var interface: Int
    public var bytes: [UInt8]

    public init(interface: Int, bytes: [UInt8]) {
        self.interface = interface
        self.bytes = bytes
    }

    /// linux/virtio_net.h, struct virtio_net_hdr.
    static let headerBytes = 10
    /// The largest that a packet socket gives here: 64 KiB of segmentation offload with its headers.
    public static let mostBytes = headerBytes + 14 + 4 + 65_535 + 256

    /// Whether it may be given to a container of this hardware address: its own, or one of a group.
    func isFor(_ mac: MACAddress) -> Bool {
        guard bytes.count >= Self.headerBytes + 14, bytes.count <= Self.mostBytes else { return false }
        let target = bytes[Self.headerBytes..<Self.headerBytes + 6]
        return target.elementsEqual(mac.bytes) || target.first.map { $0 & 1 == 1 } ?? false
    }

    /// What `NewcomerHold` keeps from the container.
    enum Newcomer { case connection, datagram }

    /// The first segment of a connection, a datagram, or nil: anything else.
    var newcomer: Newcomer? {
        let at = Self.headerBytes
        guard bytes.count >= at + 34 else { return nil }
        let network = at + 14
        let transport: Int, kind: UInt8
        switch (bytes[at + 12], bytes[at + 13]) {
        case (0x08, 0x00): (kind, transport) = (bytes[network + 9], network + Int(bytes[network] & 15) * 4)
        case (0x86, 0xdd): (kind, transport) = (bytes[network + 6], network + 40)
        default: return nil
        }
        if kind == 17 { return .datagram }
        // SYN without FIN, RST or ACK
        return kind == 6 && bytes.count > transport + 13 && bytes[transport + 13] & 0x17 == 0x02 ? .connection : nil
    }
}
