import Glibc
import Host
import Model
import Testing
@testable import Pages

/// Tests/Support/lazyclient.c, compiled once a test run, and other programs that a test talks to by lines.
final class Program: Sendable {
    let child: ChildProcess
    private let input: OwnedDescriptor
    private let output: OwnedDescriptor
    private let pending = Monitor<[UInt8]>([])

    init(_ path: String, _ arguments: [String], descriptors: [Int32: Int32] = [:]) throws {
        let input = try Pipe(), output = try Pipe()
        var spawn = Spawn(path, arguments)
        spawn.descriptors = descriptors.merging([0: input.read.raw, 1: output.write.raw, 2: 2]) { a, _ in a }
        child = try spawn.start()
        self.input = input.closeReadEnd()
        self.output = output.closeWriteEnd()
    }

    /// Whatever happens to the test, the process goes.
    deinit {
        _ = try? child.kill(SIGKILL)
        _ = try? child.wait()
    }

    func tell(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = write(input.raw, bytes, bytes.count)
    }

    /// The next line, nil at the end or after 60 s.
    func line() -> String? {
        let deadline = MonotonicInstant.now + .seconds(60)
        while true {
            let found: String? = pending.withLock { bytes in
                guard let end = bytes.firstIndex(of: 10) else { return nil }
                defer { bytes.removeFirst(end + 1) }
                return String(decoding: bytes[..<end], as: UTF8.self)
            }
            if let found { return found }
            guard let ready = try? Poll.wait(output.raw, for: .input, until: deadline), !ready.isEmpty else { return nil }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = read(output.raw, &buffer, buffer.count)
            guard count > 0 else { return nil }
            pending.withLock { $0 += buffer.prefix(count) }
        }
    }

    /// Reads lines up to one that begins so; the last one read if none does.
    func lines(until prefix: String) -> [String] {
        var all: [String] = []
        while let line = line() {
            all.append(line)
            if line.hasPrefix(prefix) { break }
        }
        return all
    }

    func end() throws -> Host.ExitStatus? { try child.wait(until: .now + .seconds(60)) }
}

/// A folder of its own for one test, removed with it.
final class Folder: Sendable {
    let path: String
    init() {
        var template = Array("/tmp/martlet-pages-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }
    deinit { _ = try? Spawn.run("rm", ["-r", path]) }
}

enum Programs {
    private static let folder = Folder()
    /// The C program, or why it couldn't be compiled.
    static let lazyClient: Result<String, any Error> = Result {
        let source = #filePath.split(separator: "/").dropLast(2).map { "/\($0)" }.joined() + "/Support/lazyclient.c"
        let target = folder.path + "/lazyclient"
        let run = try Spawn.run("cc", ["-O2", "-o", target, source, "-lpthread"], timeout: .seconds(120))
        try #require(run.status.isSuccess, "\(run.errorText)")
        return target
    }

    /// PagesHarness lies beside the test bundle, whose path the test runner got as an argument.
    static var harness: String {
        get throws {
            let folders = CommandLine.arguments.map { $0.split(separator: "/").dropLast().map { "/\($0)" }.joined() }
            return try #require(folders.map { $0 + "/PagesHarness" }.first { access($0, X_OK) == 0 })
        }
    }

    static func client(_ folder: Folder, _ scenario: String, pages: Int, processes: Int = 1, seed: Int = 1) throws -> Program {
        try Program(lazyClient.get(), [folder.path, scenario, "\(pages)", "\(processes)", "\(seed)"])
    }
}

/// A server in this process with its events.
struct Served {
    let server: FaultServer
    let mail: Mailbox<FaultServerEvent>

    init(
        _ store: PageStore, _ folder: Folder, processes: Int, options: FaultServer.Options = .init(),
        onMissing: @escaping FaultServer.MissingPageSource = { _, _ in }
    ) throws {
        let mail = Mailbox<FaultServerEvent>()
        self.mail = mail
        server = try FaultServer(
            store: store, folder: folder.path, options: options,
            spaceOf: { (1...Int32(processes)).contains($0) ? .init(UInt32($0)) : nil }, onMissing: onMissing,
            events: { mail.post($0) })
    }

    /// Events up to one that `last` accepts. Throws after 60 s without.
    @discardableResult
    func events(until last: (FaultServerEvent) -> Bool) throws -> [FaultServerEvent] {
        var all: [FaultServerEvent] = []
        while true {
            let event = try #require(mail.next(deadline: .now + .seconds(60)), "only these events came: \(all)")
            all.append(event)
            if last(event) { return all }
        }
    }
    func untilFinished() throws { try events { if case .finished = $0 { true } else { false } } }
    func untilFilled() throws -> FillStatistics {
        let all = try events { if case .filled = $0 { true } else { false } }
        for case .failed(let error) in all { Issue.record(error) }
        guard case .filled(let statistics) = all.last else { return FillStatistics() }
        return statistics
    }
}
