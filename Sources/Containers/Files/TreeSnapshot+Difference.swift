import CLinux
import Model

extension TreeSnapshot {
    /// What changed since an earlier snapshot of the same tree.
    /// - Parameters:
    ///   - old: the snapshot taken before the last copy.
    ///   - mapped: files with writable shared mappings, now or at `old`'s time: always counted as changed.
    ///   - doubted: paths that count as changed if they exist.
    ///   - cleared: paths that count as changed with all below them.
    func difference(
        since old: TreeSnapshot, mapped: Set<FileIdentity> = [], doubted: Set<[UInt8]> = [], cleared: Set<[UInt8]> = []
    ) -> TreeDifference {
        var comparison = Comparison(old: old, new: self)
        let always = doubted.isEmpty && cleared.isEmpty ? [] : indices(of: doubted, withAllBelow: cleared)
        comparison.run(mapped: Set(mapped.filter { $0.device == device }.map(\.inode)), always: always)
        return comparison.result()
    }
}

extension TreeSnapshot {
    /// Those of the given relative paths that don't exist in this snapshot.
    func missing(_ paths: some Sequence<[UInt8]>) -> [[UInt8]] {
        let slash = UInt8(ascii: "/")
        var known: [[UInt8]: [[UInt8]: Int]] = [:]  // entries by name, of each folder that was asked for
        func children(_ folder: [UInt8]) -> [[UInt8]: Int] {
            if let found = known[folder] { return found }
            let entry = folder.isEmpty ? 0 : find(folder)
            var names: [[UInt8]: Int] = [:]
            if let entry, entries[entry].child >= 0 {
                let place = folders[Int(entries[entry].child)]
                for index in Int(place.first)..<Int(place.first + place.count) { names[Array(name(index))] = index }
            }
            known[folder] = names
            return names
        }
        func find(_ path: [UInt8]) -> Int? {
            let parent = path.lastIndex(of: slash).map { Array(path[..<$0]) } ?? []
            let last = path.lastIndex(of: slash).map { Array(path[($0 + 1)...]) } ?? path
            return children(parent)[last]
        }
        return paths.filter { !$0.isEmpty && find($0) == nil }
    }
}

extension TreeSnapshot {
    /// The uppermost names that have to go so that none of some paths is there; none for what would be below something that
    /// isn't a folder.
    func topmostMissing(_ paths: some Sequence<[UInt8]>) -> Set<[UInt8]> {
        var index = TreeIndex(self), found = Set<[UInt8]>()
        for path in paths where !path.isEmpty {
            var at = 0, end = path.startIndex
            while true {
                let next =
                    path[end...].dropFirst(end == path.startIndex ? 0 : 1).firstIndex(of: UInt8(ascii: "/")) ?? path.endIndex
                let name = Array(path[(end == path.startIndex ? end : end + 1)..<next])
                guard entries[at].child >= 0 else { break }
                guard let child = index.child(entries[at].child, name) else {
                    found.insert(Array(path[..<next]))
                    break
                }
                if next == path.endIndex { break }
                (at, end) = (child, next)
            }
        }
        return found
    }

    /// Entries with one of some paths, and all below some others.
    private func indices(of paths: Set<[UInt8]>, withAllBelow tops: Set<[UInt8]>) -> Set<Int> {
        var index = TreeIndex(self), found = Set<Int>()
        for path in paths { if let entry = index.find(path) { found.insert(entry) } }
        for path in tops { if let entry = index.find(path) { found.formUnion(subtree(entry)) } }
        return found
    }

    /// An entry and all below it.
    func subtree(_ index: Int) -> [Int] {
        var all = [index], next = 0
        while next < all.count {
            let child = entries[all[next]].child
            if child >= 0 {
                let folder = folders[Int(child)]
                all += Int(folder.first)..<Int(folder.first + folder.count)
            }
            next += 1
        }
        return all
    }
}

private struct Comparison {
    let old: TreeSnapshot
    let new: TreeSnapshot
    private var changed: [Int] = []
    private var deleted: [Int] = []
    private var gone: [Int] = []

    init(old: TreeSnapshot, new: TreeSnapshot) {
        self.old = old
        self.new = new
    }

    mutating func run(mapped: Set<UInt64>, always: Set<Int>) {
        compareEntry(0, 0)
        compareFolders(0, 0)
        if !always.isEmpty { changed += always.subtracting(changed).sorted() }
        if !mapped.isEmpty { addAll { mapped.contains($0.inode) && $0.child < 0 } }
        // A file with several names is one file: rsync links the names that it is told of, and only those.
        let linked = Set(changed.compactMap { new.entries[$0].links > 1 ? new.entries[$0].inode : nil })
        // Some of its names may have been looked at before it had another one.
        if !linked.isEmpty { addAll { $0.child < 0 && linked.contains($0.inode) } }
    }

    private mutating func addAll(where matches: (TreeSnapshot.Entry) -> Bool) {
        let known = Set(changed)
        for index in new.entries.indices where matches(new.entries[index]) && !known.contains(index) {
            changed.append(index)
        }
    }

    private mutating func compareEntry(_ before: Int, _ after: Int) {
        let entry = old.entries[before]
        if !entry.sameState(as: new.entries[after]) || entry.ctime >= old.freshFrom { changed.append(after) }
    }

    private mutating func compareFolders(_ before: Int, _ after: Int) {
        var pending = [(before, after)]
        while let (before, after) = pending.popLast() {
            let a = old.folders[before], b = new.folders[after]
            let olds = Int(a.first)..<Int(a.first + a.count), news = Int(b.first)..<Int(b.first + b.count)
            if olds.count == news.count, zip(olds, news).allSatisfy({ sameName($0, $1) }) {
                for (x, y) in zip(olds, news) { comparePair(x, y, &pending) }
            } else {
                merge(
                    olds.sorted { old.name($0).lexicographicallyPrecedes(old.name($1)) },
                    news.sorted { new.name($0).lexicographicallyPrecedes(new.name($1)) }, &pending)
            }
        }
    }

    private func sameName(_ a: Int, _ b: Int) -> Bool {
        old.entries[a].nameLength == new.entries[b].nameLength && old.name(a) == new.name(b)
    }

    private mutating func merge(_ olds: [Int], _ news: [Int], _ pending: inout [(Int, Int)]) {
        var i = 0, j = 0
        while i < olds.count || j < news.count {
            if i < olds.count, j < news.count, sameName(olds[i], news[j]) {
                comparePair(olds[i], news[j], &pending)
                (i, j) = (i + 1, j + 1)
            } else if j == news.count || (i < olds.count && old.name(olds[i]).lexicographicallyPrecedes(new.name(news[j]))) {
                deleted.append(olds[i])
                gone += old.subtree(olds[i])
                i += 1
            } else {
                addTree(news[j])
                j += 1
            }
        }
    }

    private mutating func comparePair(_ before: Int, _ after: Int, _ pending: inout [(Int, Int)]) {
        let a = old.entries[before], b = new.entries[after]
        if (a.child >= 0) != (b.child >= 0) || (a.child >= 0 && a.inode != b.inode) {
            // Replaced by another kind of thing, or by another folder of the same name.
            if a.child >= 0, b.child >= 0 { pending.append((Int(a.child), Int(b.child))) }
            if a.child >= 0, b.child < 0 { gone += old.subtree(before).dropFirst() }
            if a.child < 0 { addTree(after) } else { changed.append(after) }
            return
        }
        compareEntry(before, after)
        if a.child >= 0 { pending.append((Int(a.child), Int(b.child))) }
    }

    /// A new entry with all below it.
    private mutating func addTree(_ index: Int) { changed += new.subtree(index) }

    func result() -> TreeDifference {
        var result = TreeDifference()
        var bytes: UInt64 = 0
        for index in changed {
            result.changed.append(new.path(index))
            if UInt32(new.entries[index].mode) & LINUX_S_IFMT == LINUX_S_IFREG { bytes += new.entries[index].size }
        }
        result.deleted = deleted.map(old.path)
        result.gone = gone.map(old.path)
        result.bytes = ByteCount(Int(clamping: bytes))
        return result
    }
}
