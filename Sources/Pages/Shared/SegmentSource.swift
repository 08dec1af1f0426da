import Glibc
import Host
import Model

/// The System V segments of a container's IPC namespace.
struct SegmentSource: Sendable {
    /// One that isn't known yet, and its file.
    struct Found: Sendable {
        var line: SharedSegments.Line
        var file: SharedDescriptor
    }

    private let pid: Int32

    /// - Returns: nil for a container in our own IPC namespace: its segments belong to others too.
    init?(pid: Int32) {
        guard let own = try? Namespaces.identity("ipc", of: getpid()), let its = try? Namespaces.identity("ipc", of: pid),
            own != its
        else { return nil }
        self.pid = pid
    }

    private func list() -> [SharedSegments.Line] {
        (try? Namespaces.run(in: ["ipc"], of: pid) { () throws(SystemError) in try SharedSegments.list() }) ?? []
    }

    /// Segments, attached or not, that are other ones than the known. One that goes meanwhile is passed over.
    func new(besides known: [SharedObject]) -> [Found] {
        let lines = list().filter { line in line.bytes > 0 && !known.contains { $0.isSame(line) } }
        if lines.isEmpty { return [] }
        let found = try? Namespaces.run(in: ["ipc"], of: pid) { () throws(SystemError) in
            lines.compactMap { line -> Found? in
                guard let file = try? SharedSegments.open(line.id, bytes: line.bytes, writing: false) else { return nil }
                return Found(line: line, file: SharedDescriptor(file))
            }
        }
        return found ?? []
    }

    /// Those of the known that are there now, as they are now.
    func present(among known: [SharedObject]) -> [SharedObject] {
        if !known.contains(where: { $0.segment != nil }) { return [] }
        let lines = list()
        return known.compactMap { object in
            guard let line = lines.first(where: { object.isSame($0) }) else { return nil }
            var now = object
            now.segment = SharedObject.Segment(line)
            return now
        }
    }
}

extension SharedObject {
    /// Numbers come again only after many others (ipc/util.h, sequence); a key goes when a segment is removed.
    fileprivate func isSame(_ line: SharedSegments.Line) -> Bool {
        segment?.id == line.id && bytes.rawValue == line.bytes && (segment?.key == line.key || line.isDoomed)
    }
}

extension SharedObject.Segment {
    init(_ line: SharedSegments.Line) { self.init(id: line.id, key: line.key, isDoomed: line.isDoomed) }
}
