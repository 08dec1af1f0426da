import Containers
import Host
import Model
import Plan

/// Gathers what the source tells the destination's doers.
struct SourceSurvey {
    var container: SourceContainer
    var wishes: PreflightWishes

    func facts() throws -> SourceFacts {
        let outline = try outline()
        return SourceFacts(
            host: try HostSurvey.host(), container: try ContainerFacts.gather(outline),
            streams: try StandardStreams.of(pid: container.state.pid), wishes: wishes, folders: outline.folders,
            configuration: CriuConfiguration(of: container.bundle.config), runtimeRoot: container.engine.root)
    }

    private func outline() throws -> ContainerOutline {
        let config = container.bundle.config
        let binds = config.mounts.filter(\.isBind).map {
            // A relative one counts from the bundle (runc, libcontainer/specconv).
            ContainerFacts.Bind(
                source: VolumeWishes.plain($0.source.hasPrefix("/") ? $0.source : "\(container.bundle.path)/\($0.source)"),
                destination: $0.destination)
        }
        let sysctls = (config.json[["linux", "sysctl"]]?.members ?? []).map(\.name).filter { $0.hasPrefix("net.") }
        return ContainerOutline(
            id: container.id, state: .running, initPID: container.state.pid, terminal: config.hasTerminal,
            bundle: container.bundle.path, rootfs: container.bundle.rootPath, binds: binds,
            volumes: wishes.volumes.folders(among: binds),
            networkPath: config.namespace(.network).map { $0.path ?? "" }, networkSettings: sysctls,
            cgroup: container.cgroup.path,
            tmpfs: try TmpfsSurvey(config: config, pid: container.state.pid, pids: container.cgroup.processes()))
    }
}

/// Judges at the destination, which then knows both hosts.
struct DestinationSurvey {
    var facts: SourceFacts
    var offer: Offer
    /// This host's.
    var capabilities: Capabilities

    func findings() throws -> [Finding] {
        let choice = WayChoice(offer.options, source: offer.source, destination: capabilities)
        var wishes = facts.wishes
        wishes.lazy = choice.ways?.isLazy ?? true
        let containers = (try? RuncRuntime(root: facts.runtimeRoot).list()) ?? []
        var users: [String: String] = [:]
        for container in containers where !container.bundle.isEmpty {
            users[container.bundle] = container.id
            guard let bundle = try? OCIBundle(path: container.bundle) else { continue }
            for mount in bundle.config.mounts where mount.isBind && BundlePlace.isAcceptable(mount.source) {
                users[mount.source] = container.id
            }
        }
        let outline = DestinationOutline(
            host: try HostSurvey.host(), containers: Set(containers.map(\.id)), users: users,
            configuration: Array(offer.container.config.utf8))
        var here = try DestinationFacts.gather(facts.container.question(wishes: wishes), outline)
        Pretence.current.apply(&here)
        return Preflight(source: facts.host, container: facts.container, destination: here, wishes: wishes).findings()
            + choice.findings + blockedStreams() + openJournal() + ignoredOptions()
    }

    /// Lines of the container's own CRIU options that Martlet decides itself.
    private func ignoredOptions() -> [Finding] {
        guard !facts.configuration.ignored.isEmpty else { return [] }
        return [
            Finding(
                .warning, code: "criu-option-ignored", role: .source,
                what: "options of the container's CRIU file are left out: " + facts.configuration.ignored.joined(separator: ", "),
                why: "they say how a run of CRIU goes, which is Martlet's to say here",
                hint: "nothing has to be done; a plain runc checkpoint still takes them")
        ]
    }

    private func blockedStreams() -> [Finding] {
        facts.streams.blockers.map {
            Finding(
                .blocker, code: "standard-stream", role: .source, what: $0, why: "CRIU can't move it",
                hint: "start the container detached, with its output in a file, a pipe or /dev/null")
        }
    }

    /// Settling an open migration of the same container could thaw or remove it under the new one's hands.
    private func openJournal() -> [Finding] {
        JournalFile.all().filter { migration in
            migration != offer.migration && Recovery.isOpen(migration, .destination)
                && JournalFile.read(migration, .destination).first?.container == offer.container.id
        }.map {
            Finding(
                .blocker, code: "migration-open", role: .destination,
                what: "migration \($0) of \(offer.container.id) is not settled",
                why: "it may still hold a copy", hint: "run `martlet recover` on both hosts")
        }
    }
}
