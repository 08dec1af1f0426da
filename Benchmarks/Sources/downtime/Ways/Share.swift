import Glibc

/// `downtime share PID`: mounts the folder in SHARED also at `place` of the mount namespace of a process. Alone in a process of its own, because
/// there is no way back from another namespace with a single thread of several.
enum Share {
    static let place = "/run/bench-shared"

    static func run(_ words: [String]) throws {
        guard words.count == 1, let folder = getenv("SHARED").map({ String(cString: $0) }) else {
            throw Failure("usage: SHARED=FOLDER downtime share PID")
        }
        func checked(_ result: Int32, _ what: String) throws -> Int32 {
            guard result >= 0 else { throw Failure("\(what): \(String(cString: strerror(errno)))") }
            return result
        }
        let namespace = try checked(open("/proc/\(words[0])/ns/mnt", O_RDONLY | O_CLOEXEC), "its mount namespace")
        let root = try checked(open("/proc/\(words[0])/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "its root")
        // OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
        let tree = try checked(open_tree(AT_FDCWD, folder, 1 | UInt32(O_CLOEXEC)), "open_tree of \(folder)")
        // Declared only for _GNU_SOURCE, and so unknown to Swift. CLONE_NEWNS
        guard let setns = dlsym(nil, "setns") else { throw Failure("there is no setns") }
        typealias SetNS = @convention(c) (Int32, Int32) -> Int32
        _ = try checked(unsafeBitCast(setns, to: SetNS.self)(namespace, 0x20000), "setns")
        // MOVE_MOUNT_F_EMPTY_PATH
        _ = try checked(move_mount(tree, "", root, String(place.dropFirst()), 4), "move_mount")
    }
}
