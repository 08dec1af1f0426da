import Containers
import Glibc
import Host
import Model
import Pages
import Plan
import Synchronization

/// Pages of private file mappings (initialised data, relocated tables) that came ahead, on their way into CRIU's images.
///
/// A process of 1.4 MB of them costs CRIU 5 ms at the dump, and their bytes would travel in the freeze. No fault server can put them
/// back, and the restore finds by comparing them with the parent's which of them stay shared. So they are written into
/// pages files before the freeze, when the restore is held; in the freeze only what came since, or what moves because a page
/// before it is new.
final class FilePages: Sendable {
    private let store: PageStore
    private let folder: String
    private let state = Mutex(State())

    private struct State {
        /// Nil: nothing is written yet, and what lands is no news.
        var changed: [SpaceID: Set<UInt64>]?
        var built: [SpaceID: Built] = [:]
    }

    /// A pages file that is written ahead.
    private struct Built {
        var file: SharedDescriptor
        /// Of its pages, in their order in the file.
        var addresses: [UInt64]
    }

    init(store: PageStore, folder: String) { (self.store, self.folder) = (store, folder) }

    /// Pages landed.
    func landed(_ space: SpaceID, _ run: PageRun) {
        guard space.isOfFiles else { return }
        state.withLock { state in
            guard state.changed != nil else { return }
            for index in 0..<run.count { state.changed![space, default: []].insert(run.start + UInt64(index * pageSize)) }
        }
    }

    /// Writes what is there, while the container runs. What lands meanwhile or later is written again.
    func build() throws {
        state.withLock { $0.changed = [:] }
        for (space, known) in store.known(where: \.isOfFiles) {
            let built = Built(file: try create(space), addresses: known.stored.flatMap(Self.addresses))
            var writer = PageWriter(built.file)
            for (index, address) in built.addresses.enumerated() { try writer.add(store.content(space, address), at: index) }
            try writer.flush()
            state.withLock { $0.built[space] = built }
        }
    }

    /// Before the restore is released: it waits (Preload/await-pages.c) where it needs what `complete` writes meanwhile.
    func announce() throws(SystemError) {
        _ = try OwnedDescriptor(opening: unfinished, flags: O_WRONLY | O_CREAT, mode: 0o600)
    }

    private var unfinished: String { "\(folder)/unfinished" }

    /// Frozen, when all has landed: completes the images of each process.
    /// - Throws: in words, when pages are missing, or the images can't be understood or written. The restore waits until it is killed.
    func complete(_ spaces: [Shipped.Space], in directory: ImageDirectory) throws {
        let known = store.known(where: \.isOfFiles)
        for space in spaces {
            guard let files = known[space.space.ofFiles], !files.live.isEmpty else { continue }
            guard RunList.of(files.live, without: files.stored).isEmpty else {
                throw TransferProblem("pages of the file mappings of process \(space.pid) did not come")
            }
            try complete(space.pid, space.space.ofFiles, files.live, directory)
        }
        guard unlink(unfinished) == 0 else { throw SystemError(call: "unlink", subject: unfinished, errno: errno) }
    }

    /// The images are read: nobody needs the pages any more.
    func forget() { for space in store.spaces where space.isOfFiles { store.drop(space) } }

    private func complete(_ pid: Int32, _ space: SpaceID, _ live: [PageRun], _ directory: ImageDirectory) throws {
        let map = try directory.pageMap(of: pid)
        // What CRIU dumped itself is newer than anything that came before.
        let dumped = map.entries.filter { $0.flags.contains(.present) }.map(\.run)
        let own = RunList.of(live, without: dumped)
        let old = try directory.pages(map)
        let (built, changed) = state.withLock { ($0.built[space], $0.changed?[space] ?? []) }
        let file = try built?.file ?? create(space)
        let known = built?.addresses ?? []

        var place = 0
        try old.withUnsafeBytes { old in
            var writer = PageWriter(file)
            var next = old.baseAddress
            for (run, isDumped) in Self.merged(dumped, own) {
                for address in Self.addresses(run) {
                    if isDumped {
                        try writer.add(next, at: place)
                        next = next.map { $0 + pageSize }
                    } else if place >= known.count || known[place] != address || changed.contains(address) {
                        try writer.add(store.content(space, address), at: place)
                    }
                    place += 1
                }
            }
            try writer.flush()
        }
        guard ftruncate(file.raw, off_t(place * pageSize)) == 0 else {
            throw SystemError(call: "ftruncate", subject: "pages of process \(pid)", errno: errno)
        }
        let entries = map.entries.filter { !$0.flags.contains(.present) } + (dumped + own).map { .init(run: $0, flags: .present) }
        try directory.replacePages(
            of: pid, by: Self.name(space),
            PageMapImage(pagesID: map.pagesID, entries: entries.sorted { $0.run.start < $1.run.start }))
    }

    // MARK: - Pages

    private static func name(_ space: SpaceID) -> String { ".file-pages-\(space.ofProcess.rawValue)" }

    private func create(_ space: SpaceID) throws(SystemError) -> SharedDescriptor {
        SharedDescriptor(
            try OwnedDescriptor(
                opening: "\(folder)/\(Self.name(space))", flags: O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: 0o600))
    }

    private static func addresses(_ run: PageRun) -> [UInt64] { (0..<run.count).map { run.start + UInt64($0 * pageSize) } }

    /// Both lists in one, in address order.
    private static func merged(_ dumped: [PageRun], _ own: [PageRun]) -> [(run: PageRun, isDumped: Bool)] {
        (dumped.map { ($0, true) } + own.map { ($0, false) }).sorted { $0.0.start < $1.0.start }
    }
}

/// Writes pages to a file, neighbours in one call.
private struct PageWriter {
    private let file: SharedDescriptor
    private var first = 0
    private var parts: [iovec] = []

    private static let zeros = [UInt8](repeating: 0, count: pageSize)

    init(_ file: SharedDescriptor) { self.file = file }

    /// - Parameter content: a page that stays where it is until `flush`; nil for zeros.
    mutating func add(_ content: UnsafeRawPointer?, at place: Int) throws(SystemError) {
        if parts.count == 512 || place != first + parts.count || content == nil { try flush() }
        guard let content else {
            return try check(pwrite(file.raw, Self.zeros, pageSize, off_t(place * pageSize)), pageSize)
        }
        if parts.isEmpty { first = place }
        parts.append(iovec(iov_base: UnsafeMutableRawPointer(mutating: content), iov_len: pageSize))
    }

    mutating func flush() throws(SystemError) {
        guard !parts.isEmpty else { return }
        try check(pwritev(file.raw, parts, Int32(parts.count), off_t(first * pageSize)), parts.count * pageSize)
        parts.removeAll(keepingCapacity: true)
    }

    private func check(_ written: Int, _ expected: Int) throws(SystemError) {
        guard written == expected else {
            throw SystemError(call: "write", subject: "pages of file mappings", errno: written < 0 ? errno : ENOSPC)
        }
    }
}
