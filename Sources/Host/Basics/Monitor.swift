import Glibc

/// State that threads share, with a lock and a way to wait for a change of it.
///
/// For a plain lock use `Synchronization.Mutex`; this is for waiting.
public final class Monitor<State>: @unchecked Sendable {
    // SAFETY: `state` is touched only with `mutex` held; both pointers live as long as the object.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let changed: UnsafeMutablePointer<pthread_cond_t>
    private var state: State

    public init(_ state: sending State) {
        self.state = state
        mutex = .allocate(capacity: 1)
        changed = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)  // deadlines are monotonic
        pthread_cond_init(changed, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    /// Reads or changes the state and wakes those who wait.
    public func withLock<R, E: Error>(_ body: (inout State) throws(E) -> R) throws(E) -> R {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(changed)
            pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }

    /// Waits until `body` gives a value. It is called with the lock held, at once and after each change.
    /// - Returns: nil if the deadline passed first.
    public func wait<R>(until deadline: MonotonicInstant? = nil, _ body: (inout State) -> R?) -> R? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let value = body(&state) { return value }
            if let deadline {
                var t = deadline.asTimespec
                if pthread_cond_timedwait(changed, mutex, &t) == ETIMEDOUT { return body(&state) }
            } else {
                pthread_cond_wait(changed, mutex)
            }
        }
    }
}

/// A queue of events: posted from any thread, taken by one that waits.
public final class Mailbox<Event: Sendable>: Sendable {
    private let queue = Monitor<Queue>(Queue())
    private struct Queue {
        var events: [Event] = []
        var head = 0
    }

    public init() {}

    /// Puts an event at the end. Never blocks.
    public func post(_ event: Event) { queue.withLock { $0.events.append(event) } }

    /// Takes the first event, waiting for one.
    /// - Returns: nil if none came before the deadline.
    public func next(deadline: MonotonicInstant? = nil) -> Event? {
        queue.wait(until: deadline) { queue in
            guard queue.head < queue.events.count else { return nil }
            let event = queue.events[queue.head]
            queue.head += 1
            if queue.head == queue.events.count {  // all taken: start over, keep the room
                queue.events.removeAll(keepingCapacity: true)
                queue.head = 0
            } else if queue.head >= 1024 {  // a queue that never runs empty must not grow forever
                queue.events.removeFirst(queue.head)
                queue.head = 0
            }
            return event
        }
    }
}
