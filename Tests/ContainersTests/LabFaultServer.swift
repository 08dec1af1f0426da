import Glibc
import Host
import Model

@testable import Containers

/// The smallest fault server: pages come from the frozen source itself. CRIU's protocol is in restore.md.
final class LabFaultServer: Sendable {
    private let listener: UnixSocket
    private let sources: [Int32: Int32]
    private let served = Monitor<Int>(0)
    private let stopping = Monitor<Bool>(false)

    /// - Parameter processes: of the source, in our numbering.
    init(workFolder: String, processes: [Int32]) throws {
        unlink("\(workFolder)/lazy-pages.socket")
        listener = try UnixSocket.listen(at: "\(workFolder)/lazy-pages.socket", .stream)
        sources = try Dictionary(uniqueKeysWithValues: processes.map { (try ProcessStatus.of(pid: $0).innermostPID, $0) })
        _ = try Thread(named: "faults") { [self] in try? accept() }
    }

    var pagesServed: Int { served.withLock { $0 } }
    func stop() { stopping.withLock { $0 = true } }

    private func accept() throws {
        guard let connection = try listener.accept(until: .now + .seconds(60)) else { return }
        while true {
            var number = [UInt8](repeating: 0, count: 4)
            guard try connection.receive(into: &number).count == 4 else { return }
            let pid = Int32(bitPattern: number.enumerated().reduce(0) { $0 | UInt32($1.element) << UInt32($1.offset * 8) })
            if pid == 0x5253_5446 { return }  // the restore is finished
            if pid < 0 { continue }  // a zombie
            var byte: [UInt8] = [0]
            var received = try connection.receive(into: &byte, maximumDescriptors: 1)
            guard let descriptor = received.descriptors.takeFirst(), let source = sources[pid] else { return }
            let faults = Userfaultfd(descriptor)
            _ = try Thread(named: "fault-\(pid)") { [self] in try? serve(faults, from: source) }
        }
    }

    private func serve(_ faults: Userfaultfd, from source: Int32) throws {
        let memory = try RemoteMemory(thread: source)
        let page = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize, alignment: pageSize)
        defer { page.deallocate() }
        while !stopping.withLock({ $0 }) {
            if try Poll.wait(faults.descriptor, for: .input, until: .now + .milliseconds(50)).isEmpty { continue }
            for event in try faults.readEvents() {
                if case .fork(let child) = event {
                    let inherited = Userfaultfd(OwnedDescriptor(taking: child))
                    _ = try Thread(named: "fault-child") { [self] in try? serve(inherited, from: source) }
                }
                guard case .fault(let address, _, _) = event else { continue }
                let start = address & ~UInt64(pageSize - 1)
                var vanished: [PageRun] = []
                _ = try memory.read([PageRun(start: start, count: 1)], into: page, vanished: &vanished)
                _ = faults.copy(UnsafeRawBufferPointer(page), to: start)
                served.withLock { $0 += 1 }
            }
        }
    }
}
