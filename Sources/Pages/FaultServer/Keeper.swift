import Glibc
public import Host
public import Model

/// The process beside the session that holds duplicates of everything that must not be lost: the store's descriptors,
/// the journal and every userfaultfd. If the session dies, it serves the faults and fills from exactly that state.
///
/// Without it, the death of the session in mid-fill closes the last userfaultfd, and the restored processes silently
/// read zeros. It must survive what kills a session: an own cgroup and an own session id are its spawner's business.
public enum Keeper {
    public enum Outcome: Sendable {
        /// Everything was filled, or the session gave up in an orderly way: nothing to do.
        case released
        /// The session died before there was a store: nothing to do.
        case nothingToKeep
        /// The session died. The server serves already; it fills if the session had begun to, else at `startFill`.
        case tookOver(FaultServer)
    }

    /// Holds until the session ends; call it from the hidden subcommand's main or a thread of its own.
    /// - Parameters:
    ///   - connection: the other end of the `KeeperLink`'s socket.
    ///   - options, onMissing, events: as for `FaultServer`, used on taking over. `FaultServerEvent.failed(.lostChild)` is
    ///     posted for each child that can't be saved.
    /// - Throws: if the connection brought nonsense, or the state can't be mapped or served (`journalFull`). If the session
    ///   is dead then, the caller must kill the container before this process ends.
    public static func run(
        connection: consuming UnixSocket, options: FaultServer.Options = .init(),
        onMissing: @escaping FaultServer.MissingPageSource = { _, _ in },
        events: @escaping @Sendable (FaultServerEvent) -> Void
    ) throws(FaultServerError) -> Outcome {
        let holdings = Holdings()
        do throws(SystemError) {
            while true {
                // The session is dead when its pidfd says so, not when the socket ends: as long as it lives, it serves.
                var wanted: [(descriptor: Int32, events: Poll.Events)] = holdings.session.map { [($0.raw, .input)] } ?? []
                if !holdings.ended { wanted.append((connection.descriptor.raw, .input)) }
                if wanted.isEmpty { return .nothingToKeep }
                let ready = try Poll.wait(wanted, until: nil)
                let died = holdings.session != nil && !ready[0].isEmpty
                while !holdings.ended, !(try Poll.wait(connection.descriptor.raw, for: .input, until: .now)).isEmpty {
                    try holdings.take(connection)
                    if let trouble = holdings.trouble { throw SystemError(call: trouble, subject: "", errno: EPROTO) }
                    if holdings.released { return release(connection, holdings) }
                }
                if died { break }
            }
        } catch {
            if let trouble = holdings.trouble { throw .keeperProtocol(trouble) }
            throw .system(error)
        }
        guard let store = holdings.store, let journal = holdings.journal else { return .nothingToKeep }
        if journal.word(.released).load() != 0 { return .released }  // it died between the last page and saying so
        do throws(FaultServerError) {
            return .tookOver(
                try FaultServer(
                    takingOver: store, journal: journal, descriptors: holdings, options: options, onMissing: onMissing,
                    events: events))
        } catch {
            // Closing the userfaultfds would let the processes run into zeros. Held on purpose until this process ends:
            // who faults waits, and the caller can kill the container first.
            _ = Unmanaged.passRetained(holdings)
            throw error
        }
    }

    /// Closes our duplicates first, then says so: the session serves until it hears it.
    private static func release(_ connection: borrowing UnixSocket, _ holdings: Holdings) -> Outcome {
        holdings.ports = [:]
        try? connection.send(KeeperMessage(kind: .released, number: 0).bytes)  // a session that is gone needs no answer
        return .released
    }

    /// What came over the connection.
    final class Holdings {
        var store: PageStore?
        var journal: TaskJournal?
        var session: SharedDescriptor?
        var ports: [UInt32: SharedDescriptor] = [:]
        var released = false
        var ended = false
        var trouble: String?

        /// Takes one message.
        func take(_ connection: borrowing UnixSocket) throws(SystemError) {
            var buffer = [UInt8](repeating: 0, count: KeeperMessage.size)
            var received = try connection.receive(into: &buffer, maximumDescriptors: 4)
            if received.count == 0 {
                ended = true
                return
            }
            guard let message = KeeperMessage(buffer.prefix(received.count)) else {
                trouble = "a message of \(received.count) bytes that isn't one of ours"
                return
            }
            switch message.kind {
            case .begin: begin(message.number, &received.descriptors)
            case .task:
                guard let port = received.descriptors.takeFirst() else {
                    trouble = "task \(message.number) without a userfaultfd"
                    return
                }
                ports[message.number] = SharedDescriptor(port)
            case .forget: ports[message.number] = nil
            case .release: released = true
            case .released: trouble = "the keeper's own answer"
            }
        }

        private func begin(_ version: UInt32, _ descriptors: inout ReceivedDescriptors) {
            guard version == KeeperMessage.version, store == nil, descriptors.count == 4,
                let data = descriptors.takeFirst(), let index = descriptors.takeFirst(),
                let tasks = descriptors.takeFirst(), let pidfd = descriptors.takeFirst()
            else {
                trouble = "a first message of version \(version) or without its 4 descriptors"
                return
            }
            do throws(StoreError) {
                store = try PageStore(adoptingData: data, index: index)
                journal = try TaskJournal(adopting: tasks)
                session = SharedDescriptor(pidfd)
            } catch { trouble = "\(error)" }
        }
    }
}
