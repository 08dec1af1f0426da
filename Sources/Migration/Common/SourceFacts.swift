import Containers
import Plan

/// What the source tells beyond the plan's own values: the part of the offer that only the doers read.
struct SourceFacts: Codable, Sendable {
    var host: HostFacts
    var container: ContainerFacts
    var streams: StandardStreams
    var wishes: PreflightWishes
    /// Folders that are copied, in the order in which both rsyncs number them.
    var folders: [String]
    /// The container's own CRIU options, which both sides honour: the file is on the source.
    var configuration: CriuConfiguration
    var runtimeRoot: String
}
