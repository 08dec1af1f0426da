import Glibc
import Host
import Model
import Pages
import Plan

/// Where the pages of a container that comes may lie: in memory, or in a folder on a disk where memory is short.
public struct StoreRoom: Sendable {
    /// nil: in memory only.
    public let spillFolder: String?

    /// - Parameter spillFolder: is made if it isn't there.
    public init(spillFolder: String?) { self.spillFolder = spillFolder }

    /// Makes the folder and tries it, so that a mistake is told when the agent starts and not by the first container.
    public func prepare() throws {
        guard let spillFolder else { return }
        try Places.make(spillFolder)
        _ = try PageStore(kind: .spill(spillFolder), capacity: .mebibytes(1))
    }

    /// Picks the place for a container.
    /// - Parameter memory: the container's, at the source.
    /// - Throws: `noRoom` with what is needed, what is there and what to do.
    func kind(for memory: ByteCount) throws(StoreError) -> StoreKind {
        try StoreBudget(spillFolder: spillFolder).kind(for: memory, spillFolder: spillFolder)
    }

    private func megabytes(_ count: ByteCount) -> String { "\(count.rawValue >> 20) MB" }

    /// A blocker if the pages fit nowhere. Asked before anything is touched.
    func findings(for memory: ByteCount) -> [Finding] {
        do throws(StoreError) {
            _ = try kind(for: memory)
            return []
        } catch {
            guard case .noRoom(let needed, let free, let spill, let hint) = error else {
                return [
                    Finding(
                        .blocker, code: "store-unusable", role: .destination, what: "look for room for the container's pages",
                        why: "\(error)", hint: "mend the agent's spill folder, or start the agent with --spill none")
                ]
            }
            let disk = spill.map { "\(megabytes($0)) in its spill folder \(spillFolder ?? "")" } ?? "no spill folder"
            return [
                Finding(
                    .blocker, code: "store-short", role: .destination,
                    what: "the container's pages need \(megabytes(needed)) of room until they are in place",
                    why: "the destination has \(megabytes(free)) of memory and \(disk)", hint: hint)
            ]
        }
    }
}
