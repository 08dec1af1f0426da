import Glibc
import Testing

@testable import Containers
@testable import Host
import Model

/// Two hosts' folders and rounds between them over socket pairs.
private struct Sync: ~Copyable {
    let space: Workspace
    var source: FileSource
    let destination: [String]

    init(_ name: String, _ folders: [String] = ["tree"], below: String = "/var/tmp") throws {
        let space = try Workspace(name, below: below)
        for folder in folders { try space.shell("mkdir -p 'from/\(folder)' 'to/\(folder)'") }
        source = FileSource(folders: folders.map { space.at("from/\($0)") })
        destination = folders.map { space.at("to/\($0)") }
        self.space = space
    }

    mutating func round(_ processes: [Int32] = []) throws -> FileSource.Round {
        var ends: [Int32] = [-1, -1]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
        let receiver = try FileDestination.receive(
            source.hasCopied ? .later : .first, into: destination, over: OwnedDescriptor(taking: ends[1]))
        let round = try source.copy(over: OwnedDescriptor(taking: ends[0]), processes: processes, until: .now + .seconds(30))
        if round.changed == 0 && round.deleted == 0 {
            receiver.cancel()
        } else if round.incomplete != nil {
            _ = try? receiver.finish(until: .now + .seconds(30))
        } else {
            try receiver.finish(vanishedIsFine: true, until: .now + .seconds(30))
        }
        return round
    }
}

@Suite("Copying folders", .tags(.root))
struct FileSyncTests {
    private static let everything = """
        mkdir -p a/deep/er empty; echo text > a/file; ln a/file a/hard; ln -s ../a/file a/soft; ln -s /etc/passwd abs
        dd if=/dev/urandom of=sparse bs=4096 count=4 status=none; truncate -s 50M sparse; printf end >> sparse
        mknod null c 1 3; mknod block b 7 200; mkfifo fifo; chown 1234:5678 a/file; chmod 4755 a/deep; chmod 640 a/file
        setfattr -n user.colour -v red a/file; setfattr -n trusted.overlay.opaque -v y empty; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 sparse
        setfacl -m u:33:rwx a/file; setfacl -d -m g:44:rx a/deep; touch -d '2020-02-02 02:02:02.123456789' a/file
        touch -- $'line\\nfeed' '#comment' ';semicolon' '-dash' ' space ' '*' $'bad\\xffbytes' 'back\\slash'; chmod 1777 empty; chown -h 7:8 abs
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
        """

    @Test func `everything about a tree arrives`() throws {
        var sync = try Sync("everything")
        try sync.space.shell("cd from/tree; \(Self.everything); echo old > ../../to/tree/left-over")
        let round = try sync.round()
        #expect(try sync.space.listing("from/tree") == sync.space.listing("to/tree"))
        #expect(try sync.space.shell("stat -c %i to/tree/a/file") == sync.space.shell("stat -c %i to/tree/a/hard"))
        #expect(try Int(sync.space.shell("du -k to/tree/sparse | cut -f1 | tr -d '\\n'")) ?? .max < 1000, "holes stay holes")
        #expect(round.changed == nil && round.traffic.sent > 0 && round.entries > 15)
    }

    @Test(arguments: [
        "echo more >> a/file", "rm a/file", "rm -r a", "mv a b", "rm -r a; echo x > a", "rm -r empty; ln -s a empty",
        "rm abs; mkdir abs; echo x > abs/in",
        "chmod 600 a/file; setfattr -x user.colour a/file; setfacl -b a/file; chown 0:0 a/file",
        "echo x > '#comment'; rm ';semicolon'; echo y > $'line\\nfeed'; rm $'bad\\xffbytes'",
        "rm a/hard; echo new > a/hard",
        "touch -r a/file ref; printf TEXT > a/file; truncate -s 5 a/file; touch -r ref a/file; rm ref",
        "printf x | dd of=sparse bs=1 seek=30000000 conv=notrunc status=none",
        "for i in $(seq 500); do mkdir -p n/$i; echo $i > n/$i/f; done; rm fifo socket",
        "chmod 700 .", "mv a/deep a/file . ; mv a/hard deep/", "true",
    ])
    func `a later round makes the trees equal again`(_ script: String) throws {
        var sync = try Sync("later")
        try sync.space.shell("cd from/tree; \(Self.everything)")
        _ = try sync.round()
        try sync.space.shell("cd from/tree; \(script)")
        let round = try sync.round()
        #expect(try sync.space.listing("from/tree") == sync.space.listing("to/tree"))
        #expect(
            try sync.space.shell("cd from/tree; find . -printf '%p %n\\n' | sort")
                == sync.space.shell("cd to/tree; find . -printf '%p %n\\n' | sort"))
        #expect(round.changed != nil)
    }

    @Test func `several folders travel in one run, and what is mounted in them stays behind`() throws {
        var sync = try Sync("several", ["bundle", "data dir"])
        try sync.space.shell(
            """
            echo c > from/bundle/config.json; mkdir from/bundle/rootfs to/bundle/rootfs; echo mine > to/bundle/rootfs/kept
            mount -t tmpfs none from/bundle/rootfs; echo hidden > from/bundle/rootfs/mounted; echo d > 'from/data dir/file'
            """)
        defer { _ = try? Spawn.run("umount", [sync.space.at("from/bundle/rootfs")]) }
        _ = try sync.round()
        #expect(try sync.space.read("to/bundle/config.json") == "c\n")
        #expect(try sync.space.read("to/data dir/file") == "d\n")
        #expect(!FileIO.exists(sync.space.at("to/bundle/rootfs/mounted")))
    }

    @Test func `a root file system mounted in its bundle arrives in the bundle and stays there`() throws {
        let space = try Workspace("nested")
        try space.shell(
            """
            mkdir -p 'from/root[fs]' 'to/root[fs]' to/gone; echo c > from/config.json; echo below > 'from/root[fs]/below'; echo kept > 'to/root[fs]/file'
            mount -t tmpfs none 'from/root[fs]'; echo new > 'from/root[fs]/file'; touch -r 'from/root[fs]/file' 'to/root[fs]/file'
            """)
        defer { _ = try? Spawn.run("umount", [space.at("from/root[fs]")]) }
        var source = FileSource(folders: [space.at("from"), space.at("from/root[fs]")])
        let inode = try space.shell("stat -c %i 'to/root[fs]'")
        for _ in 0..<2 {
            var ends: [Int32] = [-1, -1]
            #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
            let receiver = try FileDestination.receive(
                source.hasCopied ? .later : .first, into: [space.at("to"), space.at("to/root[fs]")],
                over: OwnedDescriptor(taking: ends[1]))
            let round = try source.copy(over: OwnedDescriptor(taking: ends[0]), processes: [], until: .now + .seconds(30))
            if round.changed == 0 && round.deleted == 0 {
                receiver.cancel()
            } else {
                try receiver.finish(until: .now + .seconds(30))
            }
            #expect(
                try space.shell("cd to; find . -type f | sort; cat 'root[fs]/file'") == "./config.json\n./root[fs]/file\nnew\n")
            #expect(try space.shell("stat -c %i 'to/root[fs]'") == inode)
            try space.shell("echo c2 > from/config.json")
        }
        #expect(!FileIO.exists(space.at("to/gone")))
    }

    @Test(
        arguments: [
            (">f+++++++++ 0/name", "0/name"), (".d..t...... 12/", "12"), ("cd+++++++++ 0/d/", "0/d"),
            (">f+++++++++ 0/li\\#012ne", "0/li\nne"),
            (">f+++++++++ 0/back\\#134#012x", "0/back\\#012x"), ("*deleting   0/old", nil),
            ("file has vanished: \"/tree/0/a\\#012b\"", "0/a\nb"), ("sent 413 bytes  received 132 bytes", nil), ("", nil),
            ("rsync: [sender] x", nil),
        ] as [(String, String?)])
    func `rsync's list of names is read`(_ line: String, _ expected: String?) {
        #expect(RsyncRun.name(Array(line.utf8)[...]) == expected.map { Array($0.utf8) })
    }

    @Test func `a tree that is written to all the time is equal after the last round`() throws {
        var sync = try Sync("busy")
        try sync.space.shell("cd from/tree; for i in $(seq 200); do echo $i > f$i; done")
        // One process without children: what it had started could go on after it is stopped.
        let writer = try Spawn(
            "python3",
            [
                "-c",
                """
                import os, random, shutil
                os.chdir('\(sync.space.at("from/tree"))')
                def write(name, mode):
                    try:
                        with open(name, mode) as f: f.write(str(random.random()))
                    except OSError: pass
                def quietly(call, *names):
                    try: call(*names)
                    except OSError: pass
                while True:
                    n = random.randrange(40)
                    random.choice([
                        lambda: write(f'f{n}', 'a'), lambda: write(f'g{n}', 'w'), lambda: quietly(os.unlink, f'g{n}'),
                        lambda: quietly(os.rename, f'f{n}', f'g{n}'), lambda: quietly(os.link, f'f{n}', f'l{n}'), lambda: quietly(os.unlink, f'l{n}'),
                        lambda: quietly(os.mkdir, f'd{n}'), lambda: write(f'd{n}/in', 'w'), lambda: shutil.rmtree(f'd{n}', ignore_errors=True),
                        lambda: write(f'temporary-{random.random()}', 'w'), lambda: [quietly(os.unlink, x) for x in os.listdir('.') if x.startswith('temporary')],
                    ])()
                """,
            ]
        ).start()
        defer {
            _ = try? writer.kill(SIGKILL)
            _ = try? writer.wait()
        }
        var complete = 0
        while complete < 5 { if try sync.round().incomplete == nil { complete += 1 } }
        kill(writer.pid, SIGSTOP)
        while try ProcessStat.of(pid: writer.pid).state != .stopped {}
        #expect(try sync.round().incomplete == nil)
        let from = try Set(sync.space.listing("from/tree").split(separator: "\n")),
            to = try Set(sync.space.listing("to/tree").split(separator: "\n"))
        #expect(from.subtracting(to).isEmpty, "missing or old at the destination")
        #expect(to.subtracting(from).isEmpty, "only at the destination")
    }

    @Test(.figures) func `the difference costs milliseconds when rsync waits for it`() throws {
        var sync = try Sync("frozen")
        try sync.space.shell(
            "cd from/tree; for d in $(seq 100); do mkdir d$d; (cd d$d; touch $(seq -f f%g 100)); done; dd if=/dev/urandom of=data bs=1M count=8 status=none"
        )
        _ = try sync.round()
        _ = try sync.round()  // what was fresh
        var figures: [String] = []
        for (what, script) in [
            ("nothing", "true"), ("one small file", "echo x >> d5/f5"), ("8 MB", "printf x >> data"),
            ("100 files", "for i in $(seq 100); do echo x > d$i/f1; done"),
        ] {
            for prepared in [true, false] {
                try sync.space.shell("cd from/tree; \(script)")
                var ends: [Int32] = [-1, -1]
                #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
                var start = MonotonicInstant.now
                let receiver = try FileDestination.receive(.later, into: sync.destination, over: OwnedDescriptor(taking: ends[1]))
                let delta = try sync.source.prepareDelta(over: OwnedDescriptor(taking: ends[0]))
                if prepared {
                    sleepThread(.milliseconds(100))  // the time that passes before a freeze
                    start = .now
                }
                let round = try sync.source.send(delta, processes: [getpid()])
                let taken = start.elapsed
                if round.changed == 0 { receiver.cancel() } else { try receiver.finish() }
                figures.append(
                    "\(what), \(prepared ? "prepared" : "started in the freeze"): \(taken.inMilliseconds) ms, \(round.changed ?? 0) changed"
                )
            }
        }
        print(figures.joined(separator: "\n"))
        #expect(try sync.space.listing("from/tree") == sync.space.listing("to/tree"))
    }
}

@Suite("A hostile peer of the file copy", .tags(.root))
struct HostileFileTests {
    /// A sender that isn't ours: rsync with arguments of its own, run outside any confinement.
    private func attack(_ part: FileDestination.Part, _ arguments: [String], in folder: String, _ space: Workspace) throws {
        var ends: [Int32] = [-1, -1]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
        let receiver = try FileDestination.receive(part, into: [space.at("to")], over: OwnedDescriptor(taking: ends[1]))
        let near = OwnedDescriptor(taking: ends[0])
        var spawn = Spawn("/usr/bin/rsync", arguments + ["-e", "sh -c 'exec 3<&0; cat <&3 >&5 & exec cat <&5'"])
        spawn.workingDirectory = folder
        spawn.descriptors = [5: near.raw]
        spawn.newSession = true
        let sender = try spawn.start()
        _ = try? receiver.finish(until: .now + .seconds(5))
        kill(-sender.pid, SIGKILL)
        _ = try sender.wait()
        _ = near.raw
    }

    /// `arrives`: whether the harmless file must have come through, which proves that the attack was spoken to at all.
    @Test(arguments: [
        ("a path of its own", ["-r", "0", "peer:/etc/"], true),
        ("names of other folders", ["-r", "0", "evil", "usr", "peer:/tree/"], true),
        ("absolute names", ["--files-from=list"], true),
        ("names with dots", ["--files-from=dots"], false),
        ("deleting by list", ["--files-from=missing"], true),
        ("through links that stand there", ["-rK", "0", "peer:/tree/"], true),
        (
            "another option list",
            ["-r", "--temp-dir=/etc", "--backup", "--backup-dir=/etc", "--log-file=/dev/null", "0", "peer:/tree/"], true
        ),
        ("deleting everything", ["-r", "--delete", "0/empty", "peer:/"], false),
    ])
    func `reaches nothing outside the folder`(_ what: String, _ arguments: [String], _ arrives: Bool) throws {
        let space = try Workspace("hostile")
        let mark = "martlet-evil-\(UInt32.random(in: 0 ... .max))"
        try space.shell(
            """
            mkdir -p evil/0/empty to outside evil/evil evil/usr/bin; echo keep > outside/file; for d in usr/bin evil .; do echo x > evil/$d/\(mark); done; echo x > escape
            echo x > evil/0/\(mark); ln -s ../outside to/out; ln -s \(space.path)/outside to/abs; ln -s /etc to/etc; mkdir evil/0/out evil/0/abs evil/0/etc
            for d in out abs etc; do echo pwned > evil/0/$d/file; echo pwned > evil/0/$d/\(mark); done
            """)
        try space.shell(
            """
            cd evil; printf '0/\(mark)\\n0/out/\(mark)\\n/etc/\(mark)\\nusr/bin/\(mark)\\n\(mark)\\n' > list; mkdir etc; echo x > etc/\(mark)
            printf '0/../../escape\\n../escape\\n' > dots; printf '0/\(mark)\\nusr/bin/true\\nbin\\n0/out/file2\\n0/abs/file2\\n' > missing; echo keep > ../outside/file2
            """)
        let before = try space.listing("outside")
        // What changes the protocol must match our server's, or the two never get to speak of files.
        let common = ["--numeric-ids", "--force", "--modify-window=-1"]
        if arguments[0].hasPrefix("--files-from") {
            try attack(
                .later, ["-lHogDtpAXIRS", "--delete-missing-args"] + common + arguments + [".", "peer:/"], in: space.at("evil"),
                space)
        } else {
            try attack(.first, ["-lHogDtpAXS", "--delete-during"] + common + arguments, in: space.at("evil"), space)
        }
        #expect(try space.listing("outside") == before)
        for folder in ["", "/etc", "/usr/bin", "/usr", "/tmp", "/evil", "/tree"] {
            #expect(!FileIO.exists("\(folder)/\(mark)"), "\(what)")
        }
        #expect(!FileIO.exists("/escape") && !FileIO.exists(space.at("to/escape")))
        if arrives { #expect(FileIO.exists(space.at("to/\(mark)")), "the attack didn't get as far as writing: \(what)") }
    }

    @Test func `a receiver that asks for the source's own files sees only the folder`() throws {
        let space = try Workspace("curious")
        try space.shell(
            "mkdir -p from/sub secret; echo secret > secret/file; ln -s ../secret from/link; ln -s \(space.path)/secret/file from/abs; echo x > from/sub/f"
        )
        // The container exchanges a folder for a link while rsync reads: with links not followed at all, nothing leaks.
        let confinement = Confinement(folders: [space.at("from")], access: .readOnly)
        var spawn = Spawn(
            "/bin/sh",
            ["-c", "cat /tree/0/link/file || cat /tree/0/abs || cat /tree/0/../../secret/file || cat \(space.path)/secret/file"])
        spawn.descriptors = [:]
        let child = try confinement.start(spawn)
        #expect(try child.wait() != .exited(0))
    }
}
