import CLinux
import Glibc

/// Waiting for descriptors; poll(2), ppoll(2).
public enum Poll {
    /// What to wait for, and what came.
    public struct Events: OptionSet, Sendable {
        public var rawValue: Int16
        public init(rawValue: Int16) { self.rawValue = rawValue }
        public static let input = Events(rawValue: Int16(POLLIN))
        public static let output = Events(rawValue: Int16(POLLOUT))
        public static let priority = Events(rawValue: Int16(POLLPRI))
        public static let hangUp = Events(rawValue: Int16(POLLHUP))
        public static let error = Events(rawValue: Int16(POLLERR))
    }

    /// Waits for events on one descriptor.
    /// - Parameter deadline: nil waits forever.
    /// - Returns: the events, empty if the deadline passed. Signals don't end the wait.
    public static func wait(_ descriptor: Int32, for events: Events, until deadline: MonotonicInstant?) throws(SystemError)
        -> Events
    {
        var entry = linux_pollfd(fd: descriptor, events: events.rawValue, revents: 0)
        while true {
            let result = linux_poll(&entry, 1, deadline?.remaining.wholeNanoseconds ?? -1)
            if result == -Int(EINTR) { continue }
            try check("ppoll", "descriptor \(descriptor)", result)
            return Events(rawValue: entry.revents)
        }
    }

    /// Waits for one of several descriptors.
    /// - Returns: one answer for each, empty ones if the deadline passed.
    public static func wait(_ entries: [(descriptor: Int32, events: Events)], until deadline: MonotonicInstant?)
        throws(SystemError) -> [Events]
    {
        var list = entries.map { linux_pollfd(fd: $0.descriptor, events: $0.events.rawValue, revents: 0) }
        while true {
            let result = linux_poll(&list, UInt(list.count), deadline?.remaining.wholeNanoseconds ?? -1)
            if result == -Int(EINTR) { continue }
            try check("ppoll", "\(list.count) descriptors", result)
            return list.map { Events(rawValue: $0.revents) }
        }
    }
}
