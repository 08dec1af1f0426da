public import Model

/// Where the frames of a data stream go. All calls for one stream come from one thread, in the order in which the
/// sender sent them. A call may block: then the sender is held back by TCP and nothing piles up.
///
/// Everything was checked before: addresses are page-aligned and within the user's half, spaces are not 0,
/// lengths are within the limits of docs/protocol.md.
public protocol FrameSink: AnyObject, Sendable {
    /// Whole pages, neighbours from `address` on. A frame may come in several pieces, each of whole pages.
    /// - Parameter bytes: valid during the call only, and not aligned in memory.
    func pages(space: SpaceID, address: UInt64, bytes: UnsafeRawBufferPointer) throws(SinkFailure)
    /// Pages that are all zero.
    func zero(space: SpaceID, run: PageRun) throws(SinkFailure)
    /// Pages whose content is void until it comes anew.
    func stale(space: SpaceID, run: PageRun) throws(SinkFailure)
    /// Hashes of neighbouring pages from `address` on, 8 bytes each: what the sender believes to be here.
    /// - Parameter marks: valid during the call only, and not aligned in memory.
    func held(space: SpaceID, address: UInt64, marks: UnsafeRawBufferPointer) throws(SinkFailure)
    /// Pages that exist at the freeze. A long list comes in several calls.
    func live(space: SpaceID, runs: [PageRun]) throws(SinkFailure)
    /// Bytes of a blob from `offset` on. A frame may come in several pieces; an empty blob comes as one empty piece.
    /// - Parameter bytes: valid during the call only.
    func blob(id: UInt32, offset: UInt64, bytes: UnsafeRawBufferPointer) throws(SinkFailure)
    /// A frame of the network for the container's interface of this number (below 256), with a virtio_net_hdr in front.
    /// - Parameter bytes: 24 to 65,819; valid during the call only.
    func packet(interface: Int, bytes: UnsafeRawBufferPointer) throws(SinkFailure)
    /// Everything that the sender sent on this stream before this mark has been handed over.
    func mark(token: UInt64) throws(SinkFailure)
    /// The sender has finished with this stream.
    func end() throws(SinkFailure)
}

/// The sink can't take what came. Ends the connection; the sender is told the text.
public struct SinkFailure: Error, Equatable, Sendable {
    /// What was tried, on what, and what the system said, in one line.
    public var text: String
    public init(_ text: String) { self.text = text }
}
