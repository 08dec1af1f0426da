import Glibc
import Host
import Model

/// What this host keeps of migrations that are over: journals for `martlet status`, and CRIU's logs for whoever asks why.
enum History {
    /// Some 50 KB each.
    private static let kept = 100

    /// Removes the oldest ones that are settled. What is left open stays however old it is.
    static func trim(keeping kept: Int = kept) {
        let all = JournalFile.all()
        guard all.count > kept else { return }
        let newestFirst = all.map { (migration: $0, at: age($0)) }.sorted { $0.at > $1.at }
        for (migration, _) in newestFirst.dropFirst(kept) where !Role.allCases.contains(where: { Recovery.isOpen(migration, $0) })
        {
            Places.remove(Places.durable(migration))
        }
    }

    private static func age(_ migration: MigrationID) -> Int {
        var status = stat()
        return lstat(Places.durable(migration), &status) == 0 ? status.st_mtim.tv_sec : 0
    }
}
