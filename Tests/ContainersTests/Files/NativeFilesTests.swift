import Glibc
import Synchronization
import Testing

@testable import Containers
@testable import Host
import Model

/// Two hosts' folders: a first round by rsync, then the stream of our own.
struct NativeSync: ~Copyable {
    let space: Workspace
    private var source: FileSource
    var native: NativeFiles
    let receiver: FileReceiver

    static let everything = """
        mkdir -p a/deep/er empty; echo text > a/file; ln a/file a/hard; ln -s ../a/file a/soft; ln -s /etc/passwd abs
        dd if=/dev/urandom of=sparse bs=4096 count=4 status=none; truncate -s 50M sparse; printf end >> sparse
        mknod null c 1 3; mknod block b 7 200; mkfifo fifo; chown 1234:5678 a/file; chmod 4755 a/deep; chmod 640 a/file
        setfattr -n user.colour -v red a/file; setfattr -n trusted.overlay.opaque -v y empty; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 sparse
        setfacl -m u:33:rwx a/file; setfacl -d -m g:44:rx a/deep; touch -d '2020-02-02 02:02:02.123456789' a/file
        touch -- $'line\\nfeed' '#comment' ';semicolon' '-dash' ' space ' '*' $'bad\\xffbytes' 'back\\slash'; chmod 1777 empty; chown -h 7:8 abs
        dd if=/dev/urandom of=big bs=1M count=5 status=none; cp big a/deep/er/big; echo t > tiny; touch -d 1969-01-01T00:00:00.5 tiny
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
        """

    init(
        _ name: String, _ script: String, watching: Bool = true, below: String = "/var/tmp", compared: Bool = false
    ) throws {
        let space = try Workspace(name, below: below)
        try space.shell("mkdir -p from to; cd from; \(script)")
        var source = FileSource(folders: [space.at("from")], compared: compared ? [0] : [])
        let first = Self.pair(), second = Self.pair()
        let receiver = try FileDestination.receive(.first, into: [space.at("to")], over: OwnedDescriptor(taking: first[1]))
        #expect(
            try source.copy(over: OwnedDescriptor(taking: first[0]), processes: [], until: .now + .seconds(60)).incomplete == nil)
        try receiver.finish(vanishedIsFine: true, until: .now + .seconds(60))
        let end = try FileReceiver(into: [space.at("to")], over: OwnedDescriptor(taking: second[1]))
        let native = try NativeFiles(after: source, over: OwnedDescriptor(taking: second[0]), watching: watching)
        let unwatched = native.unwatched
        #expect(!watching || unwatched == nil)
        self.native = native
        self.source = source
        (self.space, self.receiver) = (space, end)
    }

    /// Two ends, each to be owned by the caller.
    static func pair() -> [Int32] {
        var ends: [Int32] = [-1, -1]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
        return ends
    }

    @discardableResult
    mutating func pass() throws -> NativeFiles.Pass { try native.pass(processes: []) { false } }

    /// A pass in whose middle something happens: after the look and before anything is sent.
    @discardableResult
    mutating func pass(cut: Bool = false, meanwhile: @escaping @Sendable () -> Void) throws -> NativeFiles.Pass {
        let once = Once(meanwhile)
        return try native.pass(processes: []) {
            once.run()
            return cut && once.isOver
        }
    }

    /// The stream is given up, and rsync does the rest.
    mutating func finishByRsync(sourceLocation: SourceLocation = #_sourceLocation) throws {
        source.doubt(native.doubt)
        let ends = Self.pair()
        let receiver = try FileDestination.receive(.later, into: [space.at("to")], over: OwnedDescriptor(taking: ends[1]))
        let delta = try source.prepareDelta(over: OwnedDescriptor(taking: ends[0]))
        _ = try source.send(delta, processes: [], until: .now + .seconds(60))
        try receiver.finish(vanishedIsFine: true, until: .now + .seconds(60))
        try expectEqual(sourceLocation: sourceLocation)
    }

    /// The last pass; the trees are compared afterwards.
    @discardableResult
    mutating func finish(_ processes: [Int32] = [], sourceLocation: SourceLocation = #_sourceLocation) throws -> NativeFiles.Pass
    {
        let pass = try native.finish(processes: processes)
        #expect(pass.complete)
        try expectEqual(sourceLocation: sourceLocation)
        return pass
    }

    private borrowing func expectEqual(sourceLocation: SourceLocation) throws {
        let from = try space.listing("from"), to = try space.listing("to")
        #expect(from == to, sourceLocation: sourceLocation)
        // Which names belong together, and nothing else's.
        let links =
            "find . ! -type d -links +1 -printf '%i %p\\0' | sort -z | awk -v RS='\\0' '{ if ($1 != last) print \"-\"; last = $1; $1 = \"\"; print }' | sort"
        #expect(try space.shell("cd from; \(links)") == space.shell("cd to; \(links)"), sourceLocation: sourceLocation)
    }
}

/// Something that is done at the first call; over at the third.
private final class Once: Sendable {
    private let work: @Sendable () -> Void
    private let calls = Atomic<Int>(0)
    init(_ work: @escaping @Sendable () -> Void) { self.work = work }
    func run() { if calls.wrappingAdd(1, ordering: .relaxed).oldValue == 0 { work() } }
    var isOver: Bool { calls.load(ordering: .relaxed) > 2 }
}

@Suite("The file stream of our own", .tags(.root))
struct NativeFilesTests {
    /// What containers do to files, and a little more.
    static let changes = [
        "true", "echo more >> a/file", "rm a/file", "rm -r a", "mv a b", "rm -r a; echo x > a", "rm -r empty; ln -s a empty",
        "rm abs; mkdir abs; echo x > abs/in",
        "chmod 600 a/file; setfattr -x user.colour a/file; setfacl -b a/file; chown 0:0 a/file",
        "echo x > '#comment'; rm ';semicolon'; echo y > $'line\\nfeed'; rm $'bad\\xffbytes'",
        "rm a/hard; echo new > a/hard",
        "touch -r a/file ref; printf TEXT > a/file; truncate -s 5 a/file; touch -r ref a/file; rm ref",
        "printf x | dd of=sparse bs=1 seek=30000000 conv=notrunc status=none",
        "for i in $(seq 300); do mkdir -p n/$i; echo $i > n/$i/f; done; rm fifo socket",
        "chmod 700 .", "mv a/deep a/file . ; mv a/hard deep/",
        "printf x | dd of=big bs=1 seek=3000000 conv=notrunc status=none", "echo tail >> big", "truncate -s 1000000 big",
        "truncate -s 1000 big; truncate -s 4M big", "fallocate -p -o 65536 -l 1000000 big", "mv big bigger; echo x > big",
        "cp big other; mv other big", "mv a/deep/er/big big", "ln big a/link; echo more >> big",
        "ln a/soft a/soft2; ln fifo a/fifo2", "ln tiny a/tiny2", "ln tiny a/a; ln tiny z; rm tiny",
        "mv a tmp; mkdir a; mv tmp a/inner; echo x > a/new", "mv a/deep/er .; rmdir a/deep; mkdir a/deep; mv er a/deep/again",
        "rm -r a; mkdir a; echo fresh > a/file", "chmod 711 a; chown 5:6 a; setfacl -m u:9:x a; setfattr -n user.x -v y a",
        "chown 3 null; chmod 600 null; chown -h 1:2 abs; touch -h -d 2001-01-01 a/soft", "rm null; mknod null c 1 5",
        "rm tiny; mkdir -p tiny/a/b/c; touch tiny/a/b/c/d; mv tiny/a tiny/z; echo x > tiny/z/b/c/d",
        "mkdir x; mv x y; mv y z; echo a > z/f; mv z a/z; echo b >> a/z/f",
        "chattr +d big || true; setfattr -n user.big -v 1 big",
        "for i in $(seq 50); do echo $i > t; mv t f$((i % 7)); done", "touch -d 1950-01-01T00:00:00.25 tiny",
        "mv empty $'new\\nline'; touch $'new\\nline/in\\nside'", "exec 7> gone; echo x >&7; rm gone; echo y >&7",
        "chmod 2755 a; chmod 6755 big",
    ]

    @Test func `the destination knows when the last pass is done`() throws {
        var sync = try NativeSync("unanswered", NativeSync.everything)
        try sync.pass()
        try sync.space.shell("cd from; echo more >> a/file; rm big; echo new > new")
        let pass = try sync.native.finish(processes: [], waits: false)
        let number = try #require(pass.unanswered)
        try sync.receiver.wait(for: number, within: .seconds(60))
        #expect(try sync.space.listing("from") == sync.space.listing("to"))
    }

    @Test func `nothing to send is nothing to wait for`() throws {
        var sync = try NativeSync("nothing", "echo x > x")
        try sync.pass()
        #expect(try sync.native.finish(processes: [], waits: false).unanswered == nil)
    }

    @Test func `a last pass that fails at the destination is told there`() throws {
        var sync = try NativeSync("failed", NativeSync.everything)
        try sync.pass()
        try sync.space.shell("cd from; mkdir fresh; echo x > fresh/file; cd ../to; echo in the way > fresh; chattr +i fresh")
        defer { _ = try? sync.space.shell("chattr -i to/fresh") }
        let number = try #require(try sync.native.finish(processes: [], waits: false).unanswered)
        let error = #expect(throws: SystemError.self) { try sync.receiver.wait(for: number, within: .seconds(60)) }
        #expect(error?.hint?.contains("fresh") == true, "\(String(describing: error))")
    }

    @Test func `a stream that ends before the last pass is told, and time is bounded`() throws {
        let sync = try NativeSync("ended", "echo x > x")
        #expect(throws: SystemError.self) { try sync.receiver.wait(for: 7, within: .milliseconds(20)) }
        sync.receiver.stop()
        let error = #expect(throws: SystemError.self) { try sync.receiver.wait(for: 7, within: .seconds(60)) }
        #expect(error?.hint?.contains("ended before") == true, "\(String(describing: error))")
    }

    @Test(arguments: changes, [true, false])
    func `trees are equal after the last pass`(_ script: String, _ watched: Bool) throws {
        var sync = try NativeSync("last", NativeSync.everything, watching: watched)
        try sync.pass()
        try sync.space.shell("cd from; \(script)")
        let pass = try sync.finish()
        #expect(pass.watched == watched)
    }

    @Test(arguments: changes)
    func `trees are equal when a running pass had the change and the last one nothing`(_ script: String) throws {
        var sync = try NativeSync("running", NativeSync.everything)
        try sync.space.shell("cd from; \(script)")
        try sync.pass()
        let pass = try sync.finish()
        #expect(pass.changed == 0 && pass.deleted == 0, "nothing changed since")
    }

    @Test func `without a running pass the last one looks at everything`() throws {
        var sync = try NativeSync("straight", NativeSync.everything)
        try sync.space.shell("cd from; \(Self.changes.prefix(4).joined(separator: ";"))")
        #expect(try !sync.finish().watched)
    }

    @Test func `of a large file only the changed blocks travel`() throws {
        var sync = try NativeSync("blocks", "dd if=/dev/urandom of=big bs=1M count=64 status=none")
        try sync.pass()
        // The first change of a file that came by rsync: the destination is asked what it has.
        for script in [
            "printf x | dd of=big bs=1 seek=5000000 conv=notrunc status=none", "echo more >> big", "fallocate -p -o 1M -l 2M big",
        ] {
            try sync.space.shell("cd from; \(script)")
            #expect(try sync.finish().sent < .kibibytes(200), "\(script)")
        }
        #expect(try Int(sync.space.shell("du -k to/big | cut -f1 | tr -d '\\n'")) ?? .max < 63 << 10, "the hole is one")
    }

    @Test func `a file that is mapped counts as changed, whatever its times say`() throws {
        var sync = try NativeSync("mapped", "dd if=/dev/urandom of=big bs=1M count=2 status=none; mkdir other; cp big other/same")
        let program = """
            import mmap, sys
            f = open('\(sync.space.at("from/big"))', 'r+b'); m = mmap.mmap(f.fileno(), 0); m[4096] = m[4096] ^ 1
            print('mapped', flush=True); sys.stdin.readline(); m[9000] = m[9000] ^ 1; print('written', flush=True); sys.stdin.readline()
            """
        let python = try BackgroundPython(program)
        defer { python.end() }
        python.expect("mapped")
        try sync.pass()
        python.go("written")
        let pass = try sync.finish([python.pid])
        #expect(pass.watched && pass.changed >= 1)
    }

    @Test func `a write by libaio into a file that stays open is found`() throws {
        var sync = try NativeSync("aio", "dd if=/dev/urandom of=big bs=1M count=2 status=none")
        // io_setup 206, io_submit 209, io_getevents 208; struct iocb: data, key, flags, opcode 1 (PWRITE), priority, descriptor, buffer, length, offset
        let program = """
            import ctypes, os, struct, sys
            libc = ctypes.CDLL(None, use_errno=True); context = ctypes.c_ulong(0); assert libc.syscall(206, 8, ctypes.byref(context)) == 0
            f = os.open('\(sync.space.at("from/big"))', os.O_RDWR); data = ctypes.create_string_buffer(b'changed', 7)
            print('ready', flush=True); sys.stdin.readline()
            iocb = ctypes.create_string_buffer(struct.pack('<QIiHhIQQqQII', 0, 0, 0, 1, 0, f, ctypes.addressof(data), 7, 123456, 0, 0, 0))
            pointer = ctypes.c_void_p(ctypes.addressof(iocb)); assert libc.syscall(209, context, 1, ctypes.byref(pointer)) == 1
            events = ctypes.create_string_buffer(32); assert libc.syscall(208, context, 1, 1, events, None) == 1
            assert struct.unpack('<QQqq', events.raw)[2] == 7
            print('written', flush=True); sys.stdin.readline()
            """
        let python = try BackgroundPython(program)
        defer { python.end() }
        python.expect("ready")
        try sync.pass()
        python.go("written")
        #expect(try sync.finish([python.pid]).watched)
    }

    @Test(arguments: [true, false])
    func `a tree that is written to all the time is equal after the last pass`(_ watching: Bool) throws {
        var sync = try NativeSync(
            "busy", "for i in $(seq 200); do echo $i > f$i; done; dd if=/dev/urandom of=data bs=1M count=3 status=none",
            watching: watching)
        let writer = try Spawn("python3", ["-c", BackgroundPython.torture(sync.space.at("from"))]).start()
        defer {
            _ = try? writer.kill(SIGKILL)
            _ = try? writer.wait()
        }
        // Some passes end early, at whatever file the moment comes: what is left must not be forgotten.
        let begun = MonotonicInstant.now
        var passes = 0
        while passes < 40 || begun.elapsed < .seconds(3) {
            let limit = MonotonicInstant.now + .microseconds(Int64.random(in: 0...20_000))
            let cuts = passes % 3 == 0
            _ = try sync.native.pass(processes: []) { cuts && MonotonicInstant.now > limit }
            passes += 1
        }
        kill(writer.pid, SIGSTOP)
        while try ProcessStat.of(pid: writer.pid).state != .stopped {}
        let pass = try sync.finish([writer.pid])
        #expect(pass.watched == watching)
    }

    @Test(.figures) func `what the freeze costs`() throws {
        var figures: [String] = []
        for (what, prepare, script) in [
            ("10,000 files, nothing", "for d in $(seq 100); do mkdir d$d; (cd d$d; touch $(seq -f f%g 100)); done", "true"),
            (
                "10,000 files, one changed", "for d in $(seq 100); do mkdir d$d; (cd d$d; touch $(seq -f f%g 100)); done",
                "echo x >> d5/f5"
            ),
            ("100 files changed", "for i in $(seq 200); do echo $i > f$i; done", "for i in $(seq 100); do echo x >> f$i; done"),
            ("1000 files new", "true", "for i in $(seq 1000); do echo x > f$i; done"),
            (
                "64 MB, one byte", "dd if=/dev/urandom of=big bs=1M count=64 status=none; :",
                "printf x | dd of=big bs=1 seek=77 conv=notrunc status=none"
            ),
        ] {
            for watching in [true, false] {
                var sync = try NativeSync("cost", prepare, watching: watching)
                if what.hasPrefix("64") {  // hashes are there when a file was changed before
                    try sync.space.shell("cd from; echo x >> big")
                    try sync.pass()
                }
                try sync.pass()
                try sync.space.shell("cd from; \(script)")
                let pass = try sync.native.finish(processes: [getpid()])
                figures.append(
                    "\(what), \(watching ? "watched" : "looked at"): found \(pass.finding.inMilliseconds) ms, sent \(pass.sending.inMilliseconds) ms, \(pass.changed) names, \(pass.sent)"
                )
            }
        }
        print(figures.joined(separator: "\n"))
    }
}

/// A Python program that says words and waits for lines.
final class BackgroundPython: Sendable {
    private let child: ChildProcess
    private let input: SharedDescriptor
    private let output: SharedDescriptor
    var pid: Int32 { child.pid }

    init(_ program: String) throws {
        let toChild = try Pipe(), fromChild = try Pipe()
        var spawn = Spawn("python3", ["-c", program])
        spawn.descriptors = [0: toChild.read.raw, 1: fromChild.write.raw]
        child = try spawn.start()
        input = SharedDescriptor(toChild.closeReadEnd())
        output = SharedDescriptor(fromChild.closeWriteEnd())
    }

    func expect(_ word: String, sourceLocation: SourceLocation = #_sourceLocation) {
        var text: [UInt8] = [], byte: UInt8 = 0
        while read(output.raw, &byte, 1) == 1, byte != UInt8(ascii: "\n") { text.append(byte) }
        #expect(String(decoding: text, as: UTF8.self) == word, sourceLocation: sourceLocation)
    }

    /// Lets it go on and waits for the next word.
    func go(_ word: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let line: [UInt8] = [10]
        try? FileIO.writeAll(line.span.bytes, to: input.raw, name: "python")
        expect(word, sourceLocation: sourceLocation)
    }

    func end() {
        _ = try? child.kill(SIGKILL)
        _ = try? child.wait()
    }

    /// Changes a folder at random, without children of its own.
    static func torture(_ folder: String) -> String {
        """
        import os, random, shutil
        os.chdir('\(folder)')
        def write(name, mode):
            try:
                with open(name, mode) as f: f.write(str(random.random()))
            except OSError: pass
        def poke(name):
            try:
                with open(name, 'r+b') as f: f.seek(random.randrange(3000000)); f.write(b'poked')
            except OSError: pass
        def quietly(call, *names):
            try: call(*names)
            except OSError: pass
        while True:
            n = random.randrange(40); m = random.randrange(40)
            random.choice([
                lambda: write(f'f{n}', 'a'), lambda: write(f'g{n}', 'w'), lambda: quietly(os.unlink, f'g{n}'), lambda: poke('data'),
                lambda: quietly(os.rename, f'f{n}', f'g{n}'), lambda: quietly(os.link, f'f{n}', f'l{n}'), lambda: quietly(os.unlink, f'l{n}'),
                lambda: quietly(os.mkdir, f'd{n}'), lambda: write(f'd{n}/in', 'w'), lambda: shutil.rmtree(f'd{n}', ignore_errors=True),
                lambda: quietly(os.rename, f'd{n}', f'd{m}'), lambda: quietly(os.rename, f'd{n}', f'd{m}/deeper'), lambda: quietly(os.chmod, f'f{n}', random.choice([0o600, 0o644])),
                lambda: quietly(os.symlink, f'f{m}', f's{n}'), lambda: quietly(os.rename, f's{n}', f's{m}'), lambda: quietly(os.setxattr, f'f{n}', 'user.n', str(m).encode()),
                lambda: write(f'temporary-{random.random()}', 'w'), lambda: [quietly(os.unlink, x) for x in os.listdir('.') if x.startswith('temporary')],
            ])()
        """
    }
}
