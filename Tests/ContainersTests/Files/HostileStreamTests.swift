import CLinux
import Glibc
import Testing

@testable import Containers
@testable import Host

/// A source that isn't ours: it writes the stream's bytes as it likes.
@Suite("A hostile peer of the file stream", .tags(.root))
struct HostileStreamTests {
    /// A receiver for `to`, beside which lies `outside`.
    private struct Attack: ~Copyable {
        let space: Workspace
        let receiver: FileReceiver
        let socket: OwnedDescriptor
        let before: String

        init(_ prepare: String = "true") throws {
            let space = try Workspace("hostile-stream")
            try space.shell(
                """
                mkdir to outside; echo keep > outside/file; echo keep > outside/other; mkdir outside/folder; echo keep > outside/folder/in; echo secret > secret
                cd to; \(prepare)
                """)
            let before = try space.listing("outside")
            let ends = NativeSync.pair()
            let receiver = try FileReceiver(into: [space.at("to")], over: OwnedDescriptor(taking: ends[1]))
            (self.space, self.before, self.receiver) = (space, before, receiver)
            socket = OwnedDescriptor(taking: ends[0])
        }

        /// Sends operations and an end; gives the answer's code and words. nil: the receiver broke off.
        func send(_ operations: [[UInt8]]) -> (FileAnswer, String)? {
            var bytes = operations.flatMap { $0 }
            bytes += Self.operation(.end, "") + [UInt8](repeating: 1, count: 8)
            guard (try? FileIO.writeAll(bytes.span.bytes, to: socket.raw, name: "attack")) != nil else { return nil }
            var input = ByteInput(socket.raw)
            guard let code = try? input.take(UInt32.self), let length = try? input.take(UInt32.self),
                let payload = try? input.take(Int(length)), let answer = FileAnswer(rawValue: UInt8(truncatingIfNeeded: code))
            else { return nil }
            return (answer, payload.text)
        }

        static func operation(_ code: FileOperation, _ path: String, _ body: [UInt8] = [], flags: UInt8 = 0, folder: UInt16 = 0)
            -> [UInt8]
        {
            let raw = Array(path.utf8)
            return [code.rawValue, flags] + Self.bytes(folder) + Self.bytes(UInt32(raw.count)) + raw + body
        }

        static func bytes<N: FixedWidthInteger>(_ number: N) -> [UInt8] { withUnsafeBytes(of: number.littleEndian) { Array($0) } }

        static func metadata(
            _ mode: UInt32, size: UInt64 = 0, target: String = "", major: UInt32 = 0, minor: UInt32 = 0, attributes: [UInt8] = []
        ) -> [UInt8] {
            bytes(mode) + bytes(UInt32(0)) + bytes(UInt32(0)) + bytes(major) + bytes(minor) + bytes(size) + bytes(Int64(0))
                + bytes(UInt32(target.utf8.count)) + bytes(UInt32(attributes.count)) + Array(target.utf8) + attributes
        }

        static func file(_ path: String, _ content: String, fresh: Bool = true) -> [UInt8] {
            let text = Array(content.utf8)
            return operation(.entry, path, metadata(0o100644, size: UInt64(text.count)), flags: fresh ? 3 : 2)
                + operation(.data, "", bytes(UInt64(0)) + bytes(UInt32(text.count)) + text) + operation(.done, "")
        }

        static func link(_ path: String, to first: String) -> [UInt8] {
            operation(.link, path, bytes(UInt32(first.utf8.count)) + Array(first.utf8))
        }

        static func symlink(_ path: String, _ target: String) -> [UInt8] {
            operation(.entry, path, metadata(0o120777, target: target), flags: 1)
        }

        func expectNothingOutside(sourceLocation: SourceLocation = #_sourceLocation) throws {
            #expect(try space.listing("outside") == before, sourceLocation: sourceLocation)
            #expect(try space.read("secret") == "secret\n", sourceLocation: sourceLocation)
            #expect(try space.shell("ls") == "outside\nsecret\nto\n", sourceLocation: sourceLocation)
        }
    }

    @Test(arguments: [
        "../escape", "/etc/martlet-evil", "a/../../escape", "..", ".", "", "a//b", "a/", "./x", "a/./b", "x\0y",
        String(repeating: "n", count: 256),
    ])
    func `a path that isn't a plain one below the folder is refused`(_ path: String) throws {
        for operation in [
            Attack.file(path, "evil"), Attack.file(path, "evil", fresh: false), Attack.operation(.remove, path),
            Attack.symlink(path, "/etc"),
            Attack.link(path, to: "there"), Attack.link("new", to: path), Attack.operation(.hash, path),
            Attack.operation(.entry, path, Attack.metadata(0o10644), flags: 1),
        ] {
            let attack = try Attack("mkdir a; echo x > there")
            let answer = attack.send([operation])
            #expect(answer?.0 != .done, "\(path)")
            try attack.expectNothingOutside()
            #expect(try attack.space.shell("cd to; find . | sort") == ".\n./a\n./there\n")
        }
        #expect(!FileIO.exists("/etc/martlet-evil"))
    }

    @Test func `folders may not be made out of such paths either, and only the folder itself has the empty one`() throws {
        for path in ["../escape", "/tmp/martlet-evil", "..", "a/.."] {
            let attack = try Attack("mkdir a")
            #expect(attack.send([Attack.operation(.entry, path, Attack.metadata(0o40777), flags: 1)])?.0 == .failed)
            try attack.expectNothingOutside()
        }
    }

    @Test(arguments: ["link", "absolute", "inner/link", "there"])
    func `a planted link is never walked through`(_ way: String) throws {
        for target in ["file", "new", "folder/in", "folder"] {
            for operation in [
                Attack.file("\(way)/\(target)", "evil"), Attack.file("\(way)/\(target)", "evil", fresh: false),
                Attack.operation(.remove, "\(way)/\(target)"),
                Attack.operation(.entry, "\(way)/\(target)", Attack.metadata(0o40777), flags: 1),
                Attack.link("stolen", to: "\(way)/\(target)"),
                Attack.link("\(way)/\(target)x", to: "mine"), Attack.operation(.hash, "\(way)/\(target)"),
            ] {
                let attack = try Attack("mkdir inner; ln -s ../outside there; echo mine > mine")
                let planted = [
                    Attack.symlink("link", "../outside"), Attack.symlink("absolute", attack.space.at("outside")),
                    Attack.symlink("inner/link", "../../outside"),
                ]
                _ = attack.send(planted.flatMap { [$0] } + [operation])
                try attack.expectNothingOutside()
                #expect(!FileIO.exists(attack.space.at("to/stolen")))
            }
        }
    }

    @Test func `a link in the place of a file is replaced, not followed`() throws {
        let attack = try Attack()
        #expect(
            attack.send([
                Attack.symlink("a", attack.space.at("outside/file")), Attack.file("a", "mine"),
                Attack.symlink("b", attack.space.at("outside/folder")),
                Attack.operation(.entry, "b", Attack.metadata(0o40700), flags: 1),
            ])?.0 == .done)
        #expect(try attack.space.read("to/a") == "mine")
        try attack.expectNothingOutside()
        // In place there must be a file: neither a link, nor a device, nor a FIFO on which the open would wait, is opened.
        for (name, make) in [
            ("l", "ln -s ../outside/file l"), ("d", "mknod d b 7 200"), ("c", "mknod c c 1 3"), ("p", "mkfifo p"),
        ] {
            let attack = try Attack(make)
            #expect(attack.send([Attack.file(name, "evil", fresh: false)])?.0 == .failed, "\(name)")
            #expect(attack.send([Attack.operation(.hash, name)])?.0 == .failed, "\(name)")
            try attack.expectNothingOutside()
        }
    }

    @Test func `what is mounted in the folder is out of reach`() throws {
        let attack = try Attack("mkdir mounted; mount --bind ../outside mounted")
        defer { _ = try? Spawn.run("umount", [attack.space.at("to/mounted")]) }
        // The view has no mounts: the folder below is what is written.
        _ = attack.send([Attack.file("mounted/file", "evil"), Attack.file("mounted/new", "evil")])
        #expect(attack.send([Attack.operation(.remove, "mounted")])?.0 != nil)
        try attack.expectNothingOutside()
    }

    @Test func `a stream that makes no sense is broken off, and content stays within its file`() throws {
        typealias A = Attack
        let long = A.bytes(UInt32.max)
        for operation in [
            [99, 0, 0, 0, 0, 0, 0, 0], A.operation(.remove, "x", folder: 1), [FileOperation.remove.rawValue, 0, 0, 0] + long,
            A.operation(.data, "", A.bytes(UInt64(0)) + long), A.operation(.link, "x", long),
            A.operation(.entry, "x", A.metadata(0o100644, size: .max), flags: 3),
            A.operation(.entry, "x", A.metadata(0o100644, attributes: A.bytes(UInt16(9)) + A.bytes(UInt32(5)) + [1]), flags: 3),
        ] as [[UInt8]] {
            let attack = try Attack()
            #expect(attack.send([operation]) == nil)
            #expect(attack.receiver.join() != nil)
        }
        for operations in [
            [A.operation(.data, "", A.bytes(UInt64(0)) + A.bytes(UInt32(1)) + [1])],
            [
                A.operation(.entry, "x", A.metadata(0o100644, size: 1), flags: 3),
                A.operation(.data, "", A.bytes(UInt64(1)) + A.bytes(UInt32(1)) + [1]),
            ],
            [
                A.operation(.entry, "x", A.metadata(0o100644, size: 1), flags: 3),
                A.operation(.data, "", A.bytes(UInt64.max) + A.bytes(UInt32(1)) + [1]),
            ],
            [
                A.operation(.entry, "x", A.metadata(0o100644, size: 1), flags: 3),
                A.operation(.hole, "", A.bytes(UInt64(0)) + A.bytes(UInt64.max)),
            ],
            [
                A.operation(
                    .entry, "x",
                    A.metadata(0o100644, attributes: A.bytes(UInt16(11)) + A.bytes(UInt32(0)) + Array("system.evil".utf8)),
                    flags: 3), A.operation(.done, ""),
            ],
        ] as [[[UInt8]]] {
            let attack = try Attack()
            #expect(attack.send(operations)?.0 == .failed)
            // The stream goes on after a failed pass.
            #expect(attack.send([A.file("y", "fine")])?.0 == .done)
            try attack.expectNothingOutside()
        }
    }

    @Test func `device nodes are made and never opened`() throws {
        let attack = try Attack()
        let zero = Attack.operation(.entry, "zero", Attack.metadata(0o20600, major: 1, minor: 5), flags: 1)
        #expect(attack.send([zero])?.0 == .done)
        #expect(try attack.space.shell("stat -c '%F %t %T' to/zero") == "character special file 1 5\n")
        #expect(attack.send([Attack.operation(.hash, "zero")])?.0 == .failed)
        #expect(attack.send([Attack.file("zero", "x", fresh: false)])?.0 == .failed)
    }

    @Test func `folders that are exchanged for links while they are written lead nowhere`() throws {
        let attack = try Attack("mkdir -p d/e real")
        let space = attack.space
        let exchanger = try BackgroundPython(
            """
            import os
            os.chdir('\(space.at("to"))'); os.symlink('../outside/folder', 'l'); print('ready', flush=True)
            import ctypes; libc = ctypes.CDLL(None)
            while True: libc.renameat2(-100, b'd/e', -100, b'l', 2)
            """)
        defer { exchanger.end() }
        exchanger.expect("ready")
        for _ in 0..<300 {
            _ = attack.send([Attack.file("d/e/in", "evil"), Attack.file("d/e/new", "evil"), Attack.operation(.remove, "d/e/in")])
        }
        exchanger.end()
        try attack.expectNothingOutside()
    }
}
