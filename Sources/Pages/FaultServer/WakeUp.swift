import CLinux
import Glibc
import Host

/// Wakes a thread that waits in epoll; eventfd(2).
final class WakeUp: Sendable {
    private let descriptor: OwnedDescriptor
    var raw: Int32 { descriptor.raw }

    init() throws(SystemError) {
        let made = try systemCall("eventfd", "", linux_eventfd(0, 0x80800))  // EFD_CLOEXEC | EFD_NONBLOCK
        descriptor = OwnedDescriptor(taking: Int32(made))
    }

    func signal() {
        var one: UInt64 = 1
        _ = write(descriptor.raw, &one, 8)
    }

    func clear() {
        var value: UInt64 = 0
        _ = read(descriptor.raw, &value, 8)
    }
}

/// Descriptors that one thread waits for; epoll(7).
struct EventPoll: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor

    init() throws(SystemError) {
        descriptor = OwnedDescriptor(taking: Int32(try systemCall("epoll_create1", "", linux_epoll_create())))
    }

    func add(_ raw: Int32, key: UInt64) throws(SystemError) {
        try systemCall("epoll_ctl(ADD)", "descriptor \(raw)", linux_epoll_add(descriptor.raw, raw, LINUX_EPOLLIN, key))
    }
    func remove(_ raw: Int32) { _ = linux_epoll_remove(descriptor.raw, raw) }
    func watchOutput(_ raw: Int32, key: UInt64, _ on: Bool) {
        _ = linux_epoll_change(descriptor.raw, raw, on ? LINUX_EPOLLIN | LINUX_EPOLLOUT : LINUX_EPOLLIN, key)
    }

    /// Waits and gives each ready key to `body`. Negative: forever.
    func wait(milliseconds: Int32, _ ready: inout [linux_epoll_ready]) -> Int {
        max(0, linux_epoll_wait(descriptor.raw, &ready, Int32(ready.count), milliseconds))
    }
}
