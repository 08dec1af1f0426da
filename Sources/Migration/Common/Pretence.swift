import Containers
import Host
import Model
import Plan

/// A host that is poorer than it is, for tests of what Martlet does there, and for nobody else.
///
/// Words in /run/martlet/pretend, which only root can write: an ability (`Ability`) or a feature (`HostFeature`) that shall be
/// missing, `kernel=5.4`, `architecture=aarch64`, `cpu-without=avx2`, `memory=100` (free MiB), `disk=100` (free MiB),
/// `visible-pages` (nothing is hidden from CRIU, as if it asked in another way). Nothing can be added by it.
struct Pretence: Sendable {
    private var words: [String]

    static let file = "\(Places.runtime)/pretend"

    static let current = Pretence(
        words: ((try? FileIO.readLine(file)) ?? "").split(whereSeparator: { $0 == " " || $0 == "\n" }).map(String.init))

    var hidesNothing: Bool { words.contains("visible-pages") }

    private func value(_ name: String) -> String? {
        words.first { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
    }

    func apply(_ missing: inout [Ability: String]) {
        for ability in Ability.allCases where words.contains(ability.rawValue) {
            missing[ability] = "\(Self.file) pretends that \(ability.rawValue) is missing"
        }
    }

    func apply(_ host: inout HostFacts) {
        for feature in HostFeature.allCases where words.contains(feature.rawValue) { host.features.remove(feature) }
        if let version = value("kernel").flatMap({ DottedVersion(in: $0) }) { host.kernel = version }
        if let architecture = value("architecture") { host.architecture = architecture }
        if let memory = value("memory").flatMap({ Int($0) }) { host.room?.memory = .mebibytes(memory) }
        if let disk = value("disk").flatMap({ Int($0) }) { host.room?.durable = .mebibytes(disk) }
        if let flag = value("cpu-without") { host.processorFlags.remove(flag) }
    }

    func apply(_ facts: inout DestinationFacts) {
        if let memory = value("memory").flatMap({ Int($0) }) { facts.availableMemory = .mebibytes(memory) }
        if let disk = value("disk").flatMap({ Int($0) }) {
            for path in facts.freeSpace.keys { facts.freeSpace[path]?.bytes = .mebibytes(disk) }
        }
    }
}
