import CLinux
import Glibc
import Host
import Model

/// What the destination knows about its own containers: input of fact gathering.
public struct DestinationOutline: Sendable, Hashable {
    public var host: HostFacts
    /// IDs of all containers here.
    public var containers: Set<String>
    /// Containers by the folders that they use.
    public var users: [String: String]
    /// config.json of the source's bundle.
    public var configuration: [UInt8]?

    public init(host: HostFacts, containers: Set<String>, users: [String: String], configuration: [UInt8]?) {
        self.host = host
        self.containers = containers
        self.users = users
        self.configuration = configuration
    }
}

extension DestinationFacts {
    /// Answers the source's question. Nothing is changed.
    public static func gather(
        _ question: DestinationQuestion, _ outline: DestinationOutline, keeper: BundleKeeper = BundleKeeper()
    ) throws(NetworkError) -> DestinationFacts {
        do throws(SystemError) {
            // What is swapped out lives on too: a host short of memory is slow, not a killer.
            let info = try ProcFS.memoryInfo()
            let memory = (info["MemAvailable"] ?? 0) + (info["SwapFree"] ?? 0)
            var facts = DestinationFacts(host: outline.host, availableMemory: ByteCount(Int(clamping: memory)))
            facts.idTaken = outline.containers.contains(question.id)
            for folder in question.folders {
                let configuration = folder == question.bundle ? outline.configuration : nil
                facts.places[folder] = BundlePlace.judge(
                    keeper.sight(folder, configuration: configuration, users: outline.users), id: question.id,
                    replacing: question.replaceable.contains(folder))
                facts.freeSpace[folder] = freeSpace(folder)
            }
            facts.missingBindSources = question.bindSources.filter { !FileIO.exists($0) }
            let mounts = try MountInfo.ofSelf()
            for source in question.bindSources { facts.bindSights[source] = BindSight.of(source, mounts: mounts) }
            facts.namespaceTaken = question.namespacePath.map(FileIO.exists) ?? false
            facts.missingBridges = question.bridges.filter { $0.contains("/") || !FileIO.exists("/sys/class/net/\($0)/bridge") }
            if !question.hostPorts.isEmpty { facts.usedPorts = SocketProbe.gather(pid: getpid(), inodes: nil).bound }
            if !question.addresses.isEmpty {
                facts.takenAddresses = try addresses().intersection(question.addresses)
                facts.rivals = Neighbours.owners(of: question.addresses, on: question.bridges)
            }
            return facts
        } catch { throw .system(error) }
    }

    /// Space of the nearest folder that exists.
    static func freeSpace(_ path: String) -> FreeSpace? {
        var at = path
        while !FileIO.exists(at), let slash = at.lastIndex(of: "/") { at = slash == at.startIndex ? "/" : String(at[..<slash]) }
        var space = linux_space(), state = linux_file_state()
        guard linux_free_space(at, &space) == 0, linux_file_state(AT_FDCWD, at, 0, &state) == 0 else { return nil }
        return FreeSpace(
            device: FileIdentity(state).device, bytes: ByteCount(Int(clamping: space.free_bytes)),
            // 0: btrfs counts none
            entries: space.free_inodes == .max || space.free_inodes == 0 ? nil : Int(clamping: space.free_inodes))
    }

    /// Addresses of this host's own interfaces.
    private static func addresses() throws(SystemError) -> Set<String> {
        let links: [IPLink]
        do { links = try IPTool().read([IPLink].self, ["addr", "show"]) } catch {
            throw SystemError(call: "ip addr show", subject: "", errno: EIO, hint: "\(error)")
        }
        return Set(links.flatMap { ($0.addr_info ?? []).compactMap(\.local) })
    }
}
