// Stand-ins until the network and pre-flight parts land.
import Containers
import Glibc
import Host
import Model
import Plan

struct NetworkPreparation: Sendable {
    static func make(_ network: NetworkDescription) throws -> NetworkPreparation? { nil }
    func takeAddress() throws {}
    func open() throws {}
    func undo() throws {}
}

struct NetworkCut: Sendable {
    static func prepare(_ network: NetworkDescription) throws -> NetworkCut? { nil }
    func cut() throws {}
    func uncut() throws {}
    func remove() throws {}
}

extension BundlePlace {
    struct Creation: Sendable {
        func undo() throws {}
        func keep() throws {}
    }
    static func make(_ path: String, for id: String) throws -> Creation {
        try Places.make(path)
        return Creation()
    }
}

struct SourceSurvey {
    var container: SourceContainer
    var wishes: PreflightWishes
    var folders: [String]

    func facts() throws -> SourceFacts {
        let host = HostFacts(
            name: HostSurvey.hostName(), architecture: HostSurvey.architecture(), kernel: DottedVersion(6, 18), criu: nil,
            processorFlags: [], processorModel: "", features: [], programs: [], securityModules: [])
        let facts = ContainerFacts(
            id: container.id, state: .running, terminal: false, bundle: container.bundle.path, rootfs: container.bundle.rootPath,
            binds: [], trees: [], processes: [], sockets: SocketFacts(), memory: container.description.memory, guests: [],
            nestedGroups: 0, network: .host, sharesProcessIDs: false)
        return SourceFacts(
            host: host, container: facts, streams: try StandardStreams.of(pid: container.state.pid), wishes: wishes,
            folders: folders, lazy: true, runtimeRoot: container.engine.root)
    }
}

struct DestinationSurvey {
    var facts: SourceFacts
    var offer: Offer
    func findings() throws -> [Finding] { [] }
}
