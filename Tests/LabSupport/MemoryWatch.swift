import FoundationEssentials
import Host

/// Watches how much memory of their own Martlet's processes take in a host, stored pages left out (Tests/Support/memory_peak.py).
public final class MemoryWatch: Sendable {
    /// Peaks in bytes.
    public struct Peak: Decodable, Sendable, CustomStringConvertible {
        public var host: String
        /// Of all processes at one moment.
        public var total: Int
        /// Of each role by itself: migrate, agent, internal-session, internal-keeper, internal-guardian.
        public var roles: [String: Int]
        /// Stored pages at their peak.
        public var store: Int

        public var description: String {
            let parts = roles.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value >> 20)" }.joined(separator: ", ")
            return "\(host): at most \(total >> 20) MB (\(parts)); store \(store >> 20) MB"
        }
    }

    private let process: BackgroundProcess
    private let host: LabHost

    public init(on host: LabHost) throws {
        self.host = host
        try host.install("\(Lab.shared.repository)/Tests/Support/memory_peak.py", at: "/run/lab/memory_peak.py")
        process = try host.start(["sh", "-c", "echo $$ >/run/lab/memory_peak.pid; exec python3 /run/lab/memory_peak.py"])
        guard process.line(where: { $0.contains("watching") }) != nil else {
            throw LabError("memory_peak.py did not start on \(host): \(process.errors)")
        }
    }

    /// Ends the watch.
    public func end() throws -> Peak {
        try host.shell("kill -TERM \"$(cat /run/lab/memory_peak.pid)\"; rm -f /run/lab/memory_peak.pid")
        defer { process.stop() }
        guard let line = process.line(within: .seconds(30), where: { $0.hasPrefix("{") }) else {
            throw LabError("memory_peak.py said nothing on \(host): \(process.errors)")
        }
        return try JSONDecoder().decode(Peak.self, from: Data(line.utf8))
    }
}
