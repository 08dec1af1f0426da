import Model

/// The limits that both sides hold. A frame beyond one of them ends the connection.
enum FrameLimit {
    /// Pages of content in a frame: 2 MiB. Larger frames win nothing (256 KiB and 2 MiB moved at the same rate
    /// in the prototype); this bounds what a receiver has to hold for one packed frame.
    static let pages: UInt32 = 512
    /// Runs in one live frame: 64 KiB of payload.
    static let liveRuns: UInt32 = 4096
    static let liveRunBytes = 16
    /// A hash of a page.
    static let markBytes = 8
    /// Unpacked bytes of a blob in one frame, the same 2 MiB.
    static let blobBytes: UInt32 = 2 << 20
    /// Filler in one frame.
    static let warmBytes: UInt32 = 64 << 10
    /// A frame of the network with its virtio_net_hdr: at least an Ethernet header, at most 64 KiB of segmentation offload.
    static let packetBytes: ClosedRange<UInt32> = 24...65_819
    /// Interfaces that a container may have.
    static let interfaces: UInt64 = 256
    /// End of the user's half of the address space with five page-table levels (arch/x86: 2^56).
    static let addressEnd: UInt64 = 1 << 56
    /// No image file is larger than this.
    static let blobEnd: UInt64 = 1 << 48
    /// The most bytes of a payload that a receiver holds at once, packed or unpacked.
    static let scratchBytes = Int(pages) * pageSize
}

extension FrameHeader {
    /// Checks space, count and address for the kind.
    func checkFields() throws(FrameError) {
        switch kind {
        case .pages, .held:
            try checkRun(counts: 1...FrameLimit.pages)
        case .zero, .stale:
            try checkRun(counts: 1...UInt32.max)
        case .live:
            guard space != 0 else { throw .space(kind: kind) }
            guard count <= FrameLimit.liveRuns else {
                throw .count(kind: kind, came: count, due: 0...FrameLimit.liveRuns)
            }
            try requireZero(address, "address")
        case .blob:
            guard count <= FrameLimit.blobBytes else {
                throw .count(kind: kind, came: count, due: 0...FrameLimit.blobBytes)
            }
            guard address <= FrameLimit.blobEnd - UInt64(count) else {
                throw .range(kind: kind, start: address, length: UInt64(count))
            }
        case .packet:
            try requireZero(UInt64(space), "space")
            guard FrameLimit.packetBytes.contains(count) else {
                throw .count(kind: kind, came: count, due: FrameLimit.packetBytes)
            }
            guard address < FrameLimit.interfaces else { throw .range(kind: kind, start: address, length: 1) }
        case .mark:
            try requireZero(UInt64(space), "space")
            try requireZero(UInt64(count), "count")
        case .end, .warm:
            try requireZero(UInt64(space), "space")
            try requireZero(UInt64(count), "count")
            try requireZero(address, "address")
        }
    }

    /// Checks that the payload's length fits kind, count and codec.
    func checkPayloadLength() throws(FrameError) {
        let unpacked = UInt32(unpackedLength)
        let due: ClosedRange<UInt32>
        switch kind {
        case .warm: due = 0...FrameLimit.warmBytes
        case _ where codec != .none: due = 1...max(1, unpacked)
        case .pages, .blob, .live, .held, .packet, .zero, .stale, .mark, .end: due = unpacked...unpacked
        }
        guard due.contains(payloadLength) else {
            throw .payloadLength(kind: kind, came: payloadLength, due: due)
        }
    }

    private func checkRun(counts: ClosedRange<UInt32>) throws(FrameError) {
        guard space != 0 else { throw .space(kind: kind) }
        guard counts.contains(count) else { throw .count(kind: kind, came: count, due: counts) }
        guard address % UInt64(pageSize) == 0 else { throw .misaligned(kind: kind, address: address) }
        let length = UInt64(count) * UInt64(pageSize)
        guard address < FrameLimit.addressEnd, length <= FrameLimit.addressEnd - address else {
            throw .range(kind: kind, start: address, length: length)
        }
    }

    private func requireZero(_ value: UInt64, _ field: String) throws(FrameError) {
        guard value == 0 else { throw .fieldNotZero(kind: kind, field: field, came: value) }
    }
}
