import Host
import Model
import Plan

/// The small process that outlives a killed `martlet migrate`: it waits at a pipe, and when that closes without a word it
/// settles the migration from the journal. Without it a container that was frozen at that moment would stay frozen until
/// somebody runs `martlet recover`.
final class Guardian: Sendable {
    private let pipe: SharedDescriptor
    private let child: ChildProcess

    /// Starts the guardian of a migration. It is out of reach of our terminal's signals.
    init(_ migration: MigrationID) throws(SystemError) {
        let ends = try Pipe()
        var spawn = Spawn(Places.program, ["internal-guardian", "\(migration)"])
        spawn.descriptors = [2: 2, 3: ends.read.raw]
        spawn.newSession = true
        child = try spawn.start()
        pipe = SharedDescriptor(ends.closeReadEnd())
    }

    var pid: Int32 { child.pid }

    /// All is settled: the guardian may go.
    func dismiss() {
        try? writeBytes([1], to: pipe.raw, name: "the guardian's pipe")
        _ = try? child.wait(until: .now + .seconds(5))
    }

    /// The guardian's own life. Returns true if its ward ended without a word.
    static func watch(_ descriptor: consuming OwnedDescriptor) -> Bool {
        var byte: UInt8 = 0
        while true {
            guard let ready = try? Poll.wait(descriptor.raw, for: .input, until: nil), !ready.isEmpty else { continue }
            return readByte(descriptor.raw, &byte) == 0
        }
    }
}
