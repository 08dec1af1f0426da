import Host
import Synchronization

/// A static program that holds one thing and counts into a file (Tests/Support/holder.c).
public final class Holder: Workload {
    public let id: String
    private let words: String
    private let is32Bit: Bool
    private let options: [String]
    private let configuration: String?
    private let last = Mutex(0)

    /// - Parameters:
    ///   - words: what it holds.
    ///   - options: of lab/bundle.
    ///   - configuration: a filter of jq over config.json.
    public init(
        _ id: String, _ words: String = "nothing", is32Bit: Bool = false, options: [String] = ["--network", "none"],
        configuration: String? = nil
    ) {
        (self.id, self.words, self.is32Bit) = (id, words, is32Bit)
        (self.options, self.configuration) = (options, configuration)
    }

    public func start(on host: LabHost) throws {
        try makeBundle(on: host)
        try host.shell("runc run -d --bundle /data/\(id) \(id) </dev/null >/dev/null 2>&1")
        try verify(on: host)
    }

    public func makeBundle(on host: LabHost) throws {
        let program = is32Bit ? try compile32(for: host) : try compile("holder.c", for: host)
        try lab.script("bundle", [host.name, id] + options + ["--program", "\(program) \(words)"])
        guard let configuration else { return }
        let edit = try host.run([
            "sh", "-c", "jq \"$1\" \"$2\" >\"$2.new\" && mv \"$2.new\" \"$2\"", "sh", configuration, "/data/\(id)/config.json",
        ])
        guard edit.status.isSuccess else { throw LabError("jq \(configuration)", edit) }
    }

    private func compile32(for host: LabHost) throws -> String {
        let program = "/tmp/martlet-\(lab.name)-holder32"
        let run = try Spawn.run(
            "cc",
            [
                "-m32", "-static", "-nostdlib", "-ffreestanding", "-fno-pic", "-no-pie", "-fno-stack-protector", "-O1", "-o",
                program, lab.support("holder32.c"),
            ])
        guard run.status.isSuccess else { throw LabError("cc -m32", run) }
        try host.install(program, at: "/usr/local/bin/holder32", executable: true)
        return "/usr/local/bin/holder32"
    }

    public func beginLoad() throws {}
    public func endLoad() throws {}

    public func verify(on host: LabHost) throws {
        let goes: Bool? = try eventually(.seconds(30)) {
            guard let count = Int(try host.shell("cat \(root)/tmp/n 2>/dev/null || true")) else { return nil }
            return try last.withLock { last in
                try require(count >= last, "its count went back from \(last) to \(count)")
                defer { last = count }
                return count > last && last > 0 ? true : nil
            }
        }
        try require(goes != nil, "it doesn't count on")
    }
}
