import Glibc
import Host

/// runc (or crun, which takes the same commands) as a program.
public struct RuncRuntime: Sendable {
    public var program: String
    /// Where the runtime keeps its containers (`--root`).
    public var root: String

    /// - Parameter root: Docker's is /run/docker/runtime-runc/moby.
    public init(program: String = "runc", root: String = "/run/runc") {
        self.program = program
        self.root = root
    }

    /// As the runtime's own `state` command tells it (OCI runtime-spec).
    public enum Status: String, Sendable { case creating, created, running, paused, stopped }

    public struct Container: Hashable, Sendable {
        public var id: String
        public var pid: Int32
        public var status: Status
        public var bundle: String
    }

    /// The folder of one container's state.
    public func folder(of id: String) -> String { "\(root)/\(id)" }

    /// Identifiers that are safe in paths: what runc itself accepts.
    public static func isValidID(_ id: String) -> Bool {
        guard let first = id.utf8.first, !".-+".utf8.contains(first), id.utf8.count <= 255 else { return false }
        return id.utf8.allSatisfy { c in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= c || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= c
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= c || "_+-.".utf8.contains(c)
        }
    }

    /// All containers of this root.
    public func list() throws(BundleError) -> [Container] {
        let text = try run(["list", "--format", "json"])
        guard let entries = try parse(text, "\(program) list").array else { return [] }  // `null` when there are none
        return entries.compactMap(Self.container)
    }

    /// One container's status.
    public func state(of id: String) throws(BundleError) -> Container {
        guard Self.isValidID(id), FileIO.exists(folder(of: id)) else { throw .noContainer(id: id, root: root) }
        let json = try parse(run(["state", id]), "\(program) state \(id)")
        guard let container = Self.container(json) else {
            throw .malformed(path: "\(program) state \(id)", why: "it lacks a field")
        }
        return container
    }

    /// The state file that the runtime wrote, which knows cgroups and namespaces too (runc only).
    public func details(of id: String) throws(BundleError) -> RuntimeState {
        guard Self.isValidID(id) else { throw .noContainer(id: id, root: root) }
        let path = "\(folder(of: id))/state.json"
        do {
            guard let bytes = try FileIO.readIfPresent(path) else {
                throw SystemError(call: "open", subject: path, errno: ENOENT)
            }
            return try RuntimeState(runcState: bytes, path: path)
        } catch let error as BundleError { throw error } catch let error as SystemError {
            throw error.errno == ENOENT ? .noContainer(id: id, root: root) : .system(error)
        } catch { throw .malformed(path: path, why: "\(error)") }
    }

    /// Removes a container that has stopped, or with `force` kills it first.
    ///
    /// A `runc restore` that was killed leaves ID/criu-root mounted: a bind of the bundle's root file system. Deleting
    /// the container then empties the bundle (it happened), so the mount goes first, and if it can't go nothing else does.
    public func delete(_ id: String, force: Bool = false) throws(BundleError) {
        guard Self.isValidID(id) else { throw .noContainer(id: id, root: root) }
        try unmountRestoreRoot(of: id)
        guard FileIO.exists(folder(of: id)) else { return }
        _ = try run(["delete"] + (force ? ["--force"] : []) + [id])
    }

    /// Unmounts what a restore that died left at ID/criu-root, and removes the empty folder.
    public func unmountRestoreRoot(of id: String) throws(BundleError) {
        let path = "\(folder(of: id))/criu-root"
        guard FileIO.exists(path) else { return }
        while umount2(path, Int32(MNT_DETACH)) == 0 {}  // mounted over each other by several attempts
        if errno != EINVAL { throw .stillMounted(path: path, why: SystemError.message(errno)) }  // EINVAL: no mount point
        rmdir(path)  // only if empty: never the tree that may be beneath
    }

    private static func container(_ json: JSONValue) -> Container? {
        guard let id = json["id"]?.string, let status = json["status"]?.string.flatMap(Status.init) else { return nil }
        let pid = json["pid"]?.integer.flatMap { Int32(exactly: $0) } ?? 0
        return Container(id: id, pid: pid, status: status, bundle: json["bundle"]?.string ?? "")
    }

    private func parse(_ bytes: [UInt8], _ name: String) throws(BundleError) -> JSONValue {
        do { return try JSONValue(parsing: bytes) } catch { throw .malformed(path: name, why: "\(error)") }
    }

    private func run(_ arguments: [String]) throws(BundleError) -> [UInt8] {
        let result: CapturedRun
        do { result = try Spawn.run(program, ["--root", root] + arguments) } catch { throw .system(error) }
        guard result.status.isSuccess else {
            throw .runtime(
                command: "\(program) \(arguments.joined(separator: " "))", status: "\(result.status)", output: result.errorText)
        }
        return result.output
    }
}
