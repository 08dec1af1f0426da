import Glibc
import Host
import Model

/// A dump's folder on the wire, as blobs of one data stream. Blob 0 is the manifest (JSON), which comes last. Blob 1 is the pack:
/// small files one behind the other, each with its name; a connection is one of them, so there may be thousands. Each larger
/// file is a blob of its own, whose pieces carry their offset.
///
/// Files go as soon as CRIU has closed them, while it still dumps the rest. A file that changed after that goes again, and
/// replaces what came before. The receiver writes each where it belongs and holds nothing in memory but a record of the pack: a
/// plain dump's pages file is as large as the container.
enum ImageTransfer {
    struct Entry: Codable, Sendable, Hashable {
        var name: String
        var bytes: Int
        /// 1 is the pack.
        var blob: UInt32
    }

    static let manifest: UInt32 = 0, pack: UInt32 = 1
    /// 1 MiB: large enough that a frame's cost doesn't show, half of what a frame may carry.
    static let pieceBytes = 1 << 20
    /// The largest file in the pack.
    static let mostPacked = 64 << 10
    /// Before each file in the pack: u32 bytes, u16 length of the name, u16 zero; then the name.
    static let recordHead = 8
    /// Far above what the largest process tree needs (some ten files a process).
    static let mostFiles = 1_000_000

    /// Files that travel: images, and what runc wants beside them. CRIU's statistics and logs stay behind.
    static func travels(_ name: String) -> Bool {
        (name.hasSuffix(".img") && !name.hasPrefix("stats-")) || name == "descriptors.json"
    }

    /// Only plain names: what a peer sends must not leave the folder.
    static func isSafe(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 200 && !name.contains("/") && name != "." && name != ".." && travels(name)
    }
}

/// What came is not what was due.
struct TransferProblem: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}
