import Synchronization
import Containers
import Glibc
import Host
import Model
import Pages
import Plan

/// From the images to a container that runs and misses nothing; or back to nothing.
extension DestinationDoers {
    /// Longest wait for pages and images that the source says are on their way. It has handed all of them to its kernel.
    private static let arrival = Duration.seconds(600)

    func releaseRestore(_ shipped: Shipped) throws {
        let (store, images, runner, spaces) = attempt.withLock { ($0.store, $0.images, $0.runner, $0.spaces) }
        guard let store, let images, let runner, let marks = marks.withLock({ $0 }) else {
            throw TransferProblem("images came before anything was prepared for them")
        }
        try steps.time("wait for images") {
            try images.finish(files: shipped.images, bytes: shipped.imageBytes.rawValue, within: Self.arrival)
        }
        guard steps.time("wait for pages", { marks.wait(for: LandingMarks.final, within: Self.arrival) }) else {
            throw TransferProblem("the last pages did not come within \(Self.arrival)")
        }
        if let pass = shipped.filesPass {
            guard let receiver = attempt.withLock({ $0.receivers.last }) else {
                throw TransferProblem("the last pass over the files came on no stream")
            }
            try steps.time("wait for files") { try receiver.wait(for: pass, within: Self.arrival) }
        }
        spaces.set(shipped.spaces)
        let (_, facts, folders) = try known()
        let ways = try ways()
        for (number, tmpfs) in facts.container.tmpfs.enumerated() {
            try TmpfsPlace.limit(tmpfs, at: Places.tmpfs(migration, number))
        }
        if ways.dump == .pageServer { try steps.time("wait for the page server") { try finishPageServer() } }
        try steps.time("check and edit images") {
            let directory = ImageDirectory(path: folders.images)
            try directory.validate()
            try directory.prepareForRestore(lazy: ways.isLazy)
            if ways.isLazy { try requireSpaces(directory, shipped) }
            if ways.dump == .lazy { try requireAnnounced(store, directory, shipped) }
        }
        if !shipped.pagesStayBehind {
            try steps.time("check pages") { for space in shipped.spaces { try requireComplete(store, space.space) } }
        }
        if let common = attempt.withLock({ $0.commonPages }), let shim = attempt.withLock({ $0.shim }) {
            let pages = try steps.time("share pages") {
                try common.complete(shipped.spaces, in: ImageDirectory(path: folders.images), shim)
            }
            if pages > 0 { logLine("session \(migration): \(pages) pages stay common to several processes") }
        }
        try steps.time("give shared memory") { try giveShared(shipped, folders) }
        let files = attempt.withLock { $0.filePages }
        try files?.announce()
        restoreReleasedAt.store(MonotonicInstant.now.nanoseconds, ordering: .relaxed)
        try runner.release()
        try steps.time("write pages of files") { try files?.complete(shipped.spaces, in: ImageDirectory(path: folders.images)) }
    }

    /// CRIU reaches our descriptors below the folder of images (Preload/shared-memory.c).
    private func giveShared(_ shipped: Shipped, _ folders: Attempt.Folders) throws {
        guard !shipped.shared.isEmpty else { return }
        guard let shim = attempt.withLock({ $0.shim }) else { throw TransferProblem("nothing to give shared memory to") }
        let sealed = try shared.seal(shipped.shared)
        attempt.withLock { $0.sharedObjects = shipped.shared }
        try Places.showDescriptors(below: folders.images)
        try shim.give(objects: sealed.files.map { ($0.inode, $0.descriptor) })
        guard let namespace = sealed.namespace else { return }
        let segments = sealed.segments.compactMap { object in object.segment.map { ($0.id, object.bytes.rawValue) } }
        try shim.give(segments: segments, namespace: namespace)
    }

    private func finishPageServer() throws {
        guard let server = attempt.withLock({ $0.pageServer }) else {
            throw TransferProblem("no pages came for the page server")
        }
        try server.finish(within: .seconds(20))
    }

    /// A process whose memory nobody announced would read zeros.
    private func requireSpaces(_ directory: ImageDirectory, _ shipped: Shipped) throws {
        let known = Set(shipped.spaces.map(\.pid))
        let missing = try directory.pageMaps().keys.filter { !known.contains($0) }.sorted()
        guard missing.isEmpty else {
            throw TransferProblem("no memory came for the processes \(missing) of the images")
        }
    }

    /// CRIU's own lazy dump says which pages it left out. One that Martlet doesn't carry would read as zeros.
    private func requireAnnounced(_ store: PageStore, _ directory: ImageDirectory, _ shipped: Shipped) throws {
        let maps = try directory.pageMaps()
        for space in shipped.spaces {
            for entry in maps[space.pid]?.entries ?? [] where entry.flags == .lazy {
                for index in 0..<entry.run.count {
                    let address = entry.run.start + UInt64(index * pageSize)
                    guard store.isLive(space.space, address) else {
                        throw TransferProblem(
                            "CRIU left out a page of process \(space.pid) that did not come (0x\(String(address, radix: 16)))")
                    }
                }
            }
        }
    }

    /// A live page without content would read as zeros: rather no restore than that.
    private func requireComplete(_ store: PageStore, _ space: SpaceID) throws(TransferProblem) {
        let missing = store.missingLive(space)
        guard missing.isEmpty else {
            let pages = missing.reduce(0) { $0 + $1.count }
            throw TransferProblem(
                "\(pages) live pages of space \(space.rawValue) did not come (first at 0x\(String(missing[0].start, radix: 16)))")
        }
    }

    /// Watches the first process of what was restored: with it its whole pid namespace ends.
    func watchExit() {
        guard let site = attempt.withLock({ $0.site }), let all = try? site.cgroup.processes(),
            let first = all.first(where: { (try? ProcessStatus.of(pid: $0))?.innermostPID == 1 })
        else { return }
        // Without a watch an end is noticed later, by the fault server or by the runtime.
        let watch = try? ExitWatch(pid: first, cgroup: site.cgroup) { [self] in copyDied(surely: true) }
        attempt.withLock { $0.exit = watch }
    }

    /// The copy is gone, or CRIU, without which a held one can never run.
    func copyDied(surely isGone: Bool) {
        let neverRan = attempt.withLock { attempt in
            if attempt.held == .yet { attempt.held = .died }
            return attempt.held == .died
        }
        if neverRan {
            mailbox.post(.heldCopyDied)
        } else if isGone {
            attempt.withLock { $0.ending = true }
            mailbox.post(.containerExited)
        }
    }

    func thaw() throws {
        let (runner, site, network, frames) = attempt.withLock { ($0.runner, $0.site, $0.network, $0.frames) }
        if let runner {
            if attempt.withLock({ $0.held }) == .yet, !runner.isAlive { copyDied(surely: true) }
            guard attempt.withLock({ $0.beginThaw() }) else { return }  // its end was told
        }
        try steps.time("thaw") { if let runner { try runner.go() } else { try site?.thaw() } }
        let thawedAt = MonotonicInstant.now.nanoseconds
        try steps.time("open the network") {
            if let network { try network.open { frames?.open() } } else { try reopenNetwork() }
        }
        let pid = (try? site?.cgroup.processes().first) ?? 0
        mailbox.post(.thawed(Running(thawedAt: thawedAt, pid: pid, steps: steps.steps)))
    }

    /// A session that took over knows which interfaces were made, and from the offer which addresses they have.
    private func reopenNetwork() throws {
        let network = attempt.withLock { $0.facts?.container.network }
        try NetworkPreparation.reopen(networkMade(), network)
    }

    private func networkMade() -> NetworkPreparation.Made {
        guard let bytes = try? FileIO.read("\(Places.volatile(migration))/network.json") else { return .init() }
        return (try? JSON.decode(NetworkPreparation.Made.self, from: bytes)) ?? .init()
    }

    private func placesMade() -> [BundleKeeper.Made] {
        guard let bytes = try? FileIO.read("\(Places.volatile(migration))/places.json") else { return [] }
        return (try? JSON.decode([BundleKeeper.Made].self, from: bytes)) ?? []
    }

    func startFill() throws {
        guard let server = attempt.withLock({ $0.server }) else {
            attempt.withLock { $0.ending = true }
            // Nothing is lazy, or all was filled before this process took over.
            mailbox.post(.filled)
            return
        }
        // The container has just begun to run: it needs the processors more than what is tidied up here.
        Host.Thread.apply(.yielding)
        link.fillBegins()
        server.startFill()
        attempt.withLock { $0.filePages }?.forget()
        attempt.withLock { $0.commonPages }?.forget()
    }

    /// What the fault server tells, on its thread.
    func heard(_ event: FaultServerEvent) {
        switch event {
        case .connected(let pid, let space):
            if space == nil { logLine("session \(migration): process \(pid) has no pages of its own") }
        case .finished: break
        case .clientLost(let why):
            if !attempt.withLock({ $0.discarding }) {
                mailbox.post(.failed(.restore, Problem(what: "restore the container at the destination", why: why)))
            }
        case .filled(let statistics):
            logLine("session \(migration): filled: \(statistics)")
            attempt.withLock { $0.ending = true }  // the keeper was released: its end is no loss
            mailbox.post(.filled)
        case .failed(let error): logLine("session \(migration): \(error)")
        case .keeperLost: break  // its process's end is watched
        }
    }

    func discard() throws {
        self.attempt.withLock { ($0.discarding, $0.ending) = (true, true) }
        making.withLock { _ in }
        let attempt = self.attempt.withLock { $0 }
        attempt.exit?.stop()
        // Each thing by itself: what one can't undo is no reason to leave the others.
        var failure: (any Error)?
        func undo(_ step: () throws -> Void) { do { try step() } catch { failure = failure ?? error } }
        undo { try endCopy(attempt) }
        attempt.server?.stop()
        attempt.pageServer?.cancel()
        for run in attempt.files { run.cancel() }
        for receiver in attempt.receivers { receiver.stop() }
        link.closeStreams()
        undo { try NetworkPreparation.undo(attempt.network?.made ?? networkMade()) }
        for place in attempt.places.isEmpty ? placesMade() : attempt.places { BundleKeeper().undo(place) }
        attempt.shim?.remove()
        if let failure { throw failure }
        Places.clear(migration)
        self.attempt.withLock { ($0.runner, $0.server, $0.store, $0.images) = (nil, nil, nil, nil) }
        mailbox.post(.discarded)
    }

    /// Kills the copy in whatever state it is, and removes it from the runtime with its cgroup.
    private func endCopy(_ attempt: Attempt) throws {
        if let runner = attempt.runner { return try runner.abort() }
        guard let site = attempt.site, site.cgroup.exists else { return }
        try site.kill()
        try site.remove()
    }

    func clean() throws {
        let attempt = self.attempt.withLock { $0 }
        attempt.exit?.stop()
        attempt.shim?.remove()
        Places.clear(migration)
        // Last: what can fail here must leave nothing but itself undone.
        try Fault.check()
        for folder in attempt.facts?.folders ?? [] {
            try BundleKeeper().record(folder, container: attempt.offer?.container.id ?? "")
        }
        mailbox.post(.cleaned)
    }
}
