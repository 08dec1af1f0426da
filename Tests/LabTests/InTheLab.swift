import Host
import LabSupport
import Synchronization
import Testing

extension Tag {
    /// Needs root, the lab's hosts and an installed martlet.
    @Tag static var lab: Self
    /// Takes longer than `make test` may; MARTLET_LAB_SLOW=1 asks for it.
    @Tag static var slow: Self
}

/// All that happens in the lab, one after the other: there is one lab, and what one test cuts another needs.
@Suite(.serialized, .tags(.lab), .enabled(if: Lab.isWanted, "scripts/test brings a lab up and runs these"))
struct InTheLab {}

extension InTheLab {
    /// Brings the lab into order before a test: a test may have killed an agent or cut a link.
    static func ready() throws -> Lab {
        try Lab.shared.up()
        return Lab.shared
    }
}

/// The workloads by name, for tables.
enum Kind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case redis, redisInHostNetwork, nginx, postgres, python, stamper, tiny

    var testDescription: String { rawValue }

    /// Whether a load comes from outside; the others are always busy.
    var takesLoad: Bool {
        switch self {
        case .redis, .nginx, .postgres: true
        case .redisInHostNetwork, .python, .stamper, .tiny: false
        }
    }

    func make() -> any Workload {
        switch self {
        case .redis: Redis("lab-redis")
        case .redisInHostNetwork: Redis("lab-host-redis", memory: "16M", address: nil)
        case .nginx: Nginx("lab-nginx")
        case .postgres: Postgres("lab-postgres")
        case .python: Python("lab-python")
        case .stamper: Stamper("lab-stamper", strictly: true)
        case .tiny: Tiny("lab-tiny")
        }
    }
}

/// A workload that is removed when the test ends, however it ends.
func withWorkload(_ workload: any Workload, on host: LabHost, _ body: (World) throws -> Void) throws {
    try workload.remove()
    let world = try World()
    defer { try? workload.remove() }
    try workload.start(on: host)
    try body(world)
}

/// Exit 0, and exactly one copy, at the destination.
func expectMoved(
    _ outcome: Migration.Outcome, _ workload: any Workload, to host: LabHost, _ world: World,
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    try #require(outcome.exitCode == 0 && outcome.report?.outcome == "migrated", "\(outcome)", sourceLocation: sourceLocation)
    try expectOnly(workload, on: host, world, sourceLocation: sourceLocation)
    try workload.verify(on: host)
}

/// One of the exit codes that say that the source runs on, and that it does.
func expectStayed(
    _ outcome: Migration.Outcome, _ workload: any Workload, on host: LabHost, _ world: World, codes: Set<Int32> = [3, 4],
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    #expect(codes.contains(outcome.exitCode), "\(outcome)", sourceLocation: sourceLocation)
    if let report = outcome.report {
        let error = try #require(report.error, "a migration that failed says why", sourceLocation: sourceLocation)
        #expect(!error.what.isEmpty && !error.why.isEmpty, sourceLocation: sourceLocation)
    }
    try expectOnly(workload, on: host, world, sourceLocation: sourceLocation)
    try workload.verify(on: host)
    try expectNothingLeft(by: workload, world, sourceLocation: sourceLocation)
}

/// Exactly one copy, and where.
func expectOnly(
    _ workload: any Workload, on host: LabHost, _ world: World, sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let only = try world.onlyHost(of: workload.id)
    #expect(only == host, sourceLocation: sourceLocation)
}

/// No process, mount, cgroup, file, namespace, link or table that was not there before, on either host.
func expectNothingLeft(by workload: any Workload, _ world: World, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let left = try world.leftovers(of: workload.id)
    #expect(left == [], sourceLocation: sourceLocation)
}
