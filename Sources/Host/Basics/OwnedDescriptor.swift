import CLinux
import Glibc

/// A file descriptor with one owner, closed when the owner goes.
///
/// Note that a `~Copyable` value is destroyed after its *last use*, not at the end of the scope: whoever takes `raw`
/// keeps the owner in use for as long as the number is used.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The number, borrowed: valid for as long as the owner lives.
    public let raw: Int32

    /// Takes over an open descriptor.
    public init(taking raw: Int32) { self.raw = raw }

    /// Opens a path; close-on-exec is always set. Interrupted calls are repeated.
    public init(opening path: String, flags: Int32, mode: UInt32 = 0) throws(SystemError) {
        self.init(taking: Int32(try checkErrno("open", path, Int(retrying { open(path, flags | O_CLOEXEC, mode) }))))
    }

    /// Closes and tells what the kernel said. The descriptor is gone in any case.
    public consuming func close() throws(SystemError) {
        let raw = raw
        discard self
        try checkErrno("close", "descriptor \(raw)", Int(Glibc.close(raw)))
    }

    /// Gives up ownership without closing.
    public consuming func release() -> Int32 {
        let raw = raw
        discard self
        return raw
    }

    /// A second, close-on-exec descriptor of the same open file.
    public borrowing func duplicate() throws(SystemError) -> OwnedDescriptor {
        let copy = Int(fcntl(raw, F_DUPFD_CLOEXEC, 0))
        return OwnedDescriptor(taking: Int32(try checkErrno("fcntl(F_DUPFD_CLOEXEC)", "descriptor \(raw)", copy)))
    }

    deinit { _ = Glibc.close(raw) }
}

/// A descriptor shared by reference, for owners that live in classes or closures; closed with the last reference.
public final class SharedDescriptor: Sendable {
    private let owner: OwnedDescriptor
    public init(_ owner: consuming OwnedDescriptor) { self.owner = owner }
    /// Valid for as long as a reference to this object is held.
    public var raw: Int32 { owner.raw }
    public func duplicate() throws(SystemError) -> OwnedDescriptor { try owner.duplicate() }
}

/// Repeats a C library call while it answers -1 with EINTR.
@inline(__always)
func retrying<R: SignedInteger>(_ call: () -> R) -> R {
    while true {
        let result = call()
        if result == -1 && Glibc.errno == EINTR { continue }
        return result
    }
}
