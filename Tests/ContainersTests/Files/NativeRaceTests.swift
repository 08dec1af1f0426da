import Testing

@testable import Containers
@testable import Host

/// What a container does between a look and the sending, undone before the next look: only the sender can have seen it.
@Suite("Changes in the middle of a pass", .tags(.root))
struct NativeRaceTests {
    private static let prepare = """
        mkdir -p a/deep n; echo 1 > a/file; echo 2 > a/deep/in; ln a/file a/hard; echo 3 > tiny; ln tiny z; ln -s tiny soft; mkfifo fifo
        dd if=/dev/urandom of=a/big bs=1M count=3 status=none; cp a/big other
        """
    /// All names are told of, so that the pass comes to each of them.
    private static let touchAll =
        "find . -exec touch -h {} +; echo x >> a/big; echo x >> tiny; mkdir -p n/o; echo x > n/o/p; ln a/file n/link"

    /// What happens in the pass, and what happens after it.
    static let races = [
        ("mv a t", "mv t a"), ("mv a/deep t", "mv t a/deep"), ("mv n t; echo file > n", "rm n; mv t n"),
        ("mv a t; mv n a; mv t n", "mv a t; mv n a; mv t n"), ("rm z", "ln tiny z"), ("mv a/hard t", "mv t a/hard"),
        ("mv a/big t; mv other a/big", "mv a/big other; mv t a/big"),
        ("mv tiny t; mkdir -p tiny/x; echo y > tiny/x/y", "mv tiny u; mv t tiny"),
        ("mv a t; ln -s n a", "rm a; mv t a"), ("rm -r n", "mkdir -p n/o; echo x > n/o/p"),
        ("mv soft t; mv fifo soft", "mv soft fifo; mv t soft"),
        ("ln tiny 0", "true"), ("mv a/big n/big; ln n/big a/bigger", "mv n/big a/big"), ("mv a n/a", "echo more >> n/a/big"),
        ("mv a t", "mkdir a; mv t a/t"), ("mv a/file t; ln other a/file", "rm a/file; mv t a/file"),
    ]

    private static func at(_ folder: String, _ script: String) -> @Sendable () -> Void {
        { _ = try? Spawn.run("bash", ["-c", "cd '\(folder)'; \(script)"]) }
    }

    @Test(arguments: races, [true, false])
    func `is made good by the last pass`(_ race: (String, String), _ watched: Bool) throws {
        for cut in [false, true] {
            var sync = try NativeSync("race", Self.prepare, watching: watched)
            try sync.pass()
            try sync.space.shell("cd from; \(Self.touchAll)")
            try sync.pass(cut: cut, meanwhile: Self.at(sync.space.at("from"), race.0))
            try sync.space.shell("cd from; \(race.1)")
            #expect(try sync.finish().watched == watched)
        }
    }

    @Test(arguments: races)
    func `is made good by a running pass, and by rsync`(_ race: (String, String)) throws {
        var sync = try NativeSync("race", Self.prepare)
        try sync.space.shell("cd from; \(Self.touchAll)")
        try sync.pass(cut: true, meanwhile: Self.at(sync.space.at("from"), race.0))
        try sync.space.shell("cd from; \(race.1)")
        try sync.pass()
        try sync.finish()

        var left = try NativeSync("race", Self.prepare)
        try left.space.shell("cd from; \(Self.touchAll)")
        try left.pass(meanwhile: Self.at(left.space.at("from"), race.0))
        try left.space.shell("cd from; \(race.1)")
        try left.finishByRsync()
    }

    @Test(arguments: races)
    func `is made good by rsync when the stream breaks in it`(_ race: (String, String)) throws {
        var sync = try NativeSync("race", Self.prepare)
        try sync.pass()
        try sync.space.shell("cd from; \(Self.touchAll)")
        let receiver = sync.receiver, change = Self.at(sync.space.at("from"), race.0)
        #expect(throws: FileSyncError.self) {
            try sync.pass {
                change()
                receiver.stop()
            }
        }
        try sync.space.shell("cd from; \(race.1)")
        try sync.finishByRsync()
    }
}
