import Host
import Model

/// An IPC namespace at the destination, in which System V segments are made and filled before the restore enters it. It goes, with all
/// that is in it, when nobody has it open and no container runs in it.
final class SegmentRoom: Sendable {
    private let namespace: SharedDescriptor

    init() throws(SystemError) {
        let made = try Thread.run(named: "ipc") { () -> Result<SharedDescriptor, SystemError> in
            do throws(SystemError) { return .success(SharedDescriptor(try SharedSegments.newNamespace())) } catch {
                return .failure(error)
            }
        }
        namespace = try made.get()
    }

    /// For whoever enters it.
    var descriptor: Int32 { namespace.raw }

    private func inside<R: Sendable>(_ body: @escaping @Sendable () throws(SystemError) -> R) throws(SystemError) -> R {
        let namespace = namespace
        let result = try Thread.run(named: "ipc") { () -> Result<R, SystemError> in
            do throws(SystemError) {
                try Namespaces.enter(try namespace.duplicate(), .ipc)
                return .success(try body())
            } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// Makes one, in place of what had its number.
    func make(_ segment: SharedObject.Segment, bytes: Int) throws(SystemError) -> SharedDescriptor {
        try inside { () throws(SystemError) in
            SharedSegments.remove(segment.id)
            return SharedDescriptor(try SharedSegments.make(id: segment.id, key: segment.key, bytes: bytes))
        }
    }

    /// Removes all but the wanted ones.
    func keep(_ wanted: Set<Int32>) throws(SystemError) {
        try inside { () throws(SystemError) in
            for line in try SharedSegments.list() where !wanted.contains(line.id) { SharedSegments.remove(line.id) }
        }
    }

    /// Removes some, once their processes have attached them: they go with the last.
    func doom(_ ids: [Int32]) throws(SystemError) {
        try inside { () throws(SystemError) in for id in ids { SharedSegments.remove(id) } }
    }
}
