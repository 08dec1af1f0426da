import CLinux
import Glibc
import Synchronization

/// A named POSIX thread. Blocking calls and calls bound to a thread (ptrace, setns) run on one, never on Swift's pool.
public final class Thread: Sendable {
    /// How the kernel schedules it.
    public enum Priority: Sendable {
        /// As the thread that starts it.
        case normal
        /// SCHED_FIFO, 1 to 99; needs CAP_SYS_NICE. Must block often: on two cores a spinning thread starves the rest.
        case realtime(Int32)
        /// -20 (first) to 19 (last); below 0 needs CAP_SYS_NICE.
        case nice(Int32)
        /// As normal, but it gives way at once to whoever wakes, instead of ending its turn of some milliseconds first: for work that has
        /// no end in sight while a container runs beside it. Its share of the processors stays the same (Linux 6.12: a slice longer than
        /// everybody's, EEVDF; earlier: as normal).
        case yielding
    }

    private final class Start: Sendable {
        let name: String
        let priority: Priority
        let body: @Sendable () -> Void
        init(name: String, priority: Priority, body: @escaping @Sendable () -> Void) {
            (self.name, self.priority, self.body) = (name, priority, body)
        }
    }

    private let thread: Mutex<pthread_t?>

    /// Starts a thread.
    /// - Parameters:
    ///   - name: shown by ps and gdb; the kernel keeps the first 15 bytes.
    ///   - priority: a wish: without the capability the thread runs at normal priority.
    public init(named name: String, priority: Priority = .normal, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        let start = Unmanaged.passRetained(Start(name: name, priority: priority, body: body))
        var id = pthread_t()
        let code = pthread_create(
            &id, nil,
            { argument in
                let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                linux_set_thread_name(String(start.name.prefix(15)))
                Thread.apply(start.priority)
                start.body()
                return nil
            }, start.toOpaque())
        guard code == 0 else {
            start.release()
            throw SystemError(call: "pthread_create", subject: name, errno: code)
        }
        thread = Mutex(id)
    }

    /// Of the calling thread, from now on. A wish, as above.
    public static func apply(_ priority: Priority) {
        switch priority {
        case .normal: break
        case .realtime(let level): _ = linux_set_thread_scheduler(0, 1, level)
        case .nice(let level): _ = linux_set_thread_nice(level)
        case .yielding: _ = linux_set_thread_slice(longSlice)
        }
    }

    /// The longest that the kernel takes.
    private static let longSlice: UInt = 100_000_000

    /// Waits for the end of the body. A second call returns at once.
    public func join() {
        guard
            let id = thread.withLock({ id in
                defer { id = nil }
                return id
            })
        else { return }
        pthread_join(id, nil)
    }

    /// Whoever never joins lets the thread run by itself.
    deinit {
        if let id = thread.withLock({ $0 }) { pthread_detach(id) }
    }

    /// Runs a body on a thread of its own and waits for its result.
    public static func run<R: Sendable>(named name: String, _ body: @escaping @Sendable () -> R) throws(SystemError) -> R {
        let result = Box(Mutex<R?>(nil))
        let thread = try Thread(named: name) {
            let value = body()
            result.value.withLock { $0 = value }
        }
        thread.join()
        return result.value.withLock { $0! }  // the body has returned: join is behind us
    }

    /// The calling thread's id, as /proc names it.
    public static var currentID: Int32 { linux_gettid() }
}

/// Holds a `~Copyable` lock by reference.
final class Box<Value: ~Copyable & Sendable>: Sendable {
    let value: Value
    init(_ value: consuming Value) { self.value = value }
}
