import Host
import Migration
import Plan

/// Hands progress to a view on a thread of its own: a pipe that nobody reads or a terminal that somebody stopped must not hold a
/// migration, least of all a frozen one.
final class QueuedReporter: ProgressReporter {
    private let queue = Mailbox<Progress?>()
    private let thread: Host.Thread?
    private let view: any ProgressReporter
    private let atEnd: @Sendable () -> Void

    /// What is said from the cut on waits so long, where it is for people's eyes: a usual freeze is over by then, and the
    /// processors were its own.
    private static let courtesy = Duration.milliseconds(300)

    /// - Parameters:
    ///   - mayWait: nobody acts on what is said.
    ///   - atEnd: called when all is said.
    init(_ view: any ProgressReporter, mayWait: Bool, atEnd: @escaping @Sendable () -> Void = {}) {
        (self.view, self.atEnd) = (view, atEnd)
        let queue = queue
        thread = try? Host.Thread(named: "view") {
            while let progress = queue.next().flatMap({ $0 }) {
                if mayWait, case .phase(.cut, _) = progress { sleepThread(Self.courtesy) }
                view.report(progress)
            }
        }
    }

    func report(_ progress: Progress) {
        // Without a thread it is said at once.
        if thread == nil { view.report(progress) } else { queue.post(progress) }
    }

    /// Says what is left, and ends.
    func close() {
        queue.post(nil)
        thread?.join()
        atEnd()
    }
}
